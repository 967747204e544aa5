/* The commands: each is a line of words, carried out at once. */
#include "relay.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORDS 6

/* The words after the command's name; those not given are "". Returns what is wrong, or NULL. */
typedef const char *command(struct relay *r, char **words);

static const char not_a_way[] = "direction: up or down";
static const char not_a_cut[] = "kind of cut: fin, rst or hold";
static const char not_a_number[] = "not a number";
static const char not_hex[] = "not hex";
static const char not_a_switch[] = "on or off";

static bool read_way(const char *word, enum way *way) {
  *way = strcmp(word, "down") == 0 ? DOWN : UP;
  return *way == DOWN || strcmp(word, "up") == 0;
}

/* No word means FIN. */
static bool read_cut(const char *word, enum cut *cut) {
  static const char *const names[] = {
      [CUT_NONE] = "", [CUT_FIN] = "fin", [CUT_RST] = "rst", [CUT_HOLD] = "hold"};
  for (int i = CUT_NONE; i <= CUT_HOLD; i++)
    if (strcmp(word, names[i]) == 0) {
      *cut = i == CUT_NONE ? CUT_FIN : (enum cut)i;
      return true;
    }
  return false;
}

static bool read_number(const char *word, uint64_t *number) {
  char *end;
  *number = strtoull(word, &end, 10);
  return isdigit((unsigned char)word[0]) && *end == 0;
}

static bool read_ms(const char *word, int64_t *ns) {
  char *end;
  double ms = strtod(word, &end);
  *ns = ms >= 0 && ms <= 1e6 ? (int64_t)(ms * 1e6) : -1;
  return end != word && *end == 0 && *ns >= 0;
}

static bool read_switch(const char *word, bool *on) {
  *on = strcmp(word, "on") == 0;
  return *on || strcmp(word, "off") == 0;
}

static bool read_byte(const char *hex, unsigned char *byte) {
  unsigned value;
  if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]))
    return false;
  sscanf(hex, "%2x", &value);
  *byte = (unsigned char)value;
  return true;
}

static bool read_bytes(const char *hex, struct bytes *bytes) {
  bytes->size = 0;
  for (; hex[0] != 0; hex += 2)
    if (!read_byte(hex, &bytes->at[bytes->size++]))
      return false;
  return bytes->size > 0;
}

static const char *command_delay(struct relay *r, char **words) {
  int64_t up, down;
  if (!read_ms(words[0], &up) || !read_ms(words[1][0] == 0 ? words[0] : words[1], &down))
    return not_a_number;
  r->settings.delay_ns[UP] = up;
  r->settings.delay_ns[DOWN] = down;
  return NULL;
}

static const char *command_throttle(struct relay *r, char **words) {
  return read_number(words[0], &r->settings.throttle) ? NULL : not_a_number;
}

static const char *command_chunk(struct relay *r, char **words) {
  return read_number(words[0], &r->settings.chunk) ? NULL : not_a_number;
}

static void tell_count(struct relay *r, int count) {
  snprintf(r->details, sizeof r->details, " connections=%d", count);
}

static void cut_open(struct relay *r, enum way way, uint64_t after, enum cut cut) {
  int count = 0;
  for (struct connection *c = r->open; c != NULL; c = c->next, count++) {
    c->stream[way].faults.cut_at = c->stream[way].forwarded + after;
    c->stream[way].faults.cut = cut;
  }
  tell_count(r, count);
}

static const char *command_cut(struct relay *r, char **words) {
  bool here = strcmp(words[0], "here") == 0;
  enum way way;
  enum cut cut;
  uint64_t after;
  if (!read_way(words[here], &way))
    return not_a_way;
  if (!read_number(words[here + 1], &after))
    return not_a_number;
  if (!read_cut(words[here + 2], &cut))
    return not_a_cut;
  if (here) {
    cut_open(r, way, after, cut);
  } else {
    r->next[way].cut_at = after;
    r->next[way].cut = cut;
  }
  return NULL;
}

static const char *command_drop(struct relay *r, char **words) {
  enum cut cut;
  int count = 0;
  if (!read_cut(words[0], &cut) || cut == CUT_HOLD)
    return "fin or rst";
  for (struct connection *c = r->open; c != NULL; c = c->next, count++)
    connection_cut(c, cut);
  r->cuts += (uint64_t)count;
  tell_count(r, count);
  return NULL;
}

static const char *command_hold(struct relay *r, char **words) {
  (void)words;
  r->settings.held = true;
  return NULL;
}

static void let_go(struct connection *c) {
  if (c->held)
    c->stream[UP].faults.cut_at = c->stream[DOWN].faults.cut_at = NOWHERE;
  c->held = false;
}

static const char *command_release(struct relay *r, char **words) {
  (void)words;
  r->settings.held = false;
  for (struct connection *c = r->open; c != NULL; c = c->next)
    let_go(c);
  return NULL;
}

static const char *listen_again(struct relay *r) {
  return r->listener.fd >= 0 || listener_open(r) ? NULL : "cannot listen again";
}

static const char *command_refuse(struct relay *r, char **words) {
  bool on;
  if (!read_switch(words[0], &on))
    return not_a_switch;
  if (!on)
    return listen_again(r);
  listener_close(r);
  return NULL;
}

/* What has entered a stream is on its way already: counted is what enters from now on. */
static void corrupt_open(struct relay *r, enum way way, uint64_t at, unsigned char with) {
  int count = 0;
  for (struct connection *c = r->open; c != NULL; c = c->next, count++) {
    c->stream[way].faults.corrupt_at = c->stream[way].entered + at;
    c->stream[way].faults.corrupt_with = with;
  }
  tell_count(r, count);
}

static const char *command_corrupt(struct relay *r, char **words) {
  bool here = strcmp(words[0], "here") == 0;
  enum way way;
  uint64_t at;
  unsigned char with;
  if (!read_way(words[here], &way))
    return not_a_way;
  if (!read_number(words[here + 1], &at))
    return not_a_number;
  if (!read_byte(words[here + 2], &with) || words[here + 2][2] != 0)
    return not_hex;
  if (here) {
    corrupt_open(r, way, at, with);
  } else {
    r->next[way].corrupt_at = at;
    r->next[way].corrupt_with = with;
  }
  return NULL;
}

static bool read_shift(const char *word, enum shift *shift) {
  static const char *const names[] = {[SHIFT_DROP] = "drop", [SHIFT_DOUBLE] = "double", [SHIFT_ADD] = "add"};
  for (int i = SHIFT_DROP; i <= SHIFT_ADD; i++)
    if (strcmp(word, names[i]) == 0) {
      *shift = (enum shift)i;
      return true;
    }
  return false;
}

/* The next byte that arrives must begin a packet. */
static const char *command_shift(struct relay *r, char **words) {
  enum shift shift;
  uint64_t replies;
  int count = 0;
  if (!read_shift(words[0], &shift))
    return "drop, double or add";
  if (!read_number(words[1], &replies))
    return not_a_number;
  for (struct connection *c = r->open; c != NULL; c = c->next, count++) {
    c->stream[DOWN].packets.shift = shift;
    c->stream[DOWN].packets.left = replies;
  }
  tell_count(r, count);
  return NULL;
}

static const char *command_inject(struct relay *r, char **words) {
  static struct bytes bytes;
  enum way way;
  int count = 0;
  if (!read_way(words[0], &way))
    return not_a_way;
  if (!read_bytes(words[1], &bytes))
    return not_hex;
  for (struct connection *c = r->open; c != NULL; c = c->next, count++)
    stream_push(&c->stream[way], bytes.at, bytes.size, 0);
  tell_count(r, count);
  return NULL;
}

static void stop_answering(struct relay *r) {
  for (struct connection *c = r->open; c != NULL; c = c->next)
    c->answering = c->replacing = false;
}

static const char *command_answer(struct relay *r, char **words) {
  int count = 0;
  stop_answering(r);
  if (strcmp(words[0], "off") == 0)
    return NULL;
  if (!read_bytes(words[0], &r->answer))
    return not_hex;
  for (struct connection *c = r->open; c != NULL; c = c->next, count++)
    c->answering = true;
  tell_count(r, count);
  return NULL;
}

static const char *command_replace(struct relay *r, char **words) {
  int count = 0;
  stop_answering(r);
  if (!read_bytes(words[0], &r->answer))
    return not_hex;
  for (struct connection *c = r->open; c != NULL; c = c->next, count++)
    c->replacing = true;
  tell_count(r, count);
  return NULL;
}

static const char *command_strip_tls(struct relay *r, char **words) {
  return read_switch(words[0], &r->settings.strip_tls) ? NULL : not_a_switch;
}

static const char *command_renumber(struct relay *r, char **words) {
  return read_number(words[0], &r->settings.numbers) ? NULL : not_a_number;
}

static const char *command_record(struct relay *r, char **words) {
  r->recorded = 0;
  return read_switch(words[0], &r->recording) ? NULL : not_a_switch;
}

static const char *command_heard(struct relay *r, char **words) {
  (void)words;
  printf("heard ");
  for (size_t i = 0; i < r->recorded; i++)
    printf("%02x", r->record[i]);
  printf("\n");
  return NULL;
}

static const char *command_stats(struct relay *r, char **words) {
  unsigned open = 0;
  (void)words;
  for (struct connection *c = r->open; c != NULL; c = c->next)
    open++;
  snprintf(r->details, sizeof r->details, " connections=%llu open=%u cuts=%llu up=%llu down=%llu",
           (unsigned long long)r->accepted, open, (unsigned long long)r->cuts,
           (unsigned long long)r->bytes[UP], (unsigned long long)r->bytes[DOWN]);
  return NULL;
}

static const char *command_last(struct relay *r, char **words) {
  (void)words;
  if (r->accepted == 0)
    return "no connection yet";
  if (r->last != NULL)
    for (int way = UP; way <= DOWN; way++)
      r->last_forwarded[way] = r->last->stream[way].forwarded;
  snprintf(r->details, sizeof r->details, " open=%d up=%llu down=%llu", r->last != NULL,
           (unsigned long long)r->last_forwarded[UP], (unsigned long long)r->last_forwarded[DOWN]);
  return NULL;
}

static const char *command_reset(struct relay *r, char **words) {
  (void)words;
  r->settings = (struct settings){0};
  r->next[UP] = r->next[DOWN] = no_faults;
  r->recording = false;
  for (struct connection *c = r->open; c != NULL; c = c->next) {
    c->held = c->answering = c->replacing = c->stream[DOWN].in_greeting = false;
    c->stream[UP].faults = c->stream[DOWN].faults = no_faults;
  }
  return listen_again(r);
}

static const struct {
  const char *name;
  command *run;
} commands[] = {
    {"delay", command_delay},         /* MS [MS]: latency up and down */
    {"throttle", command_throttle},   /* BYTES per second and direction; 0: no limit */
    {"chunk", command_chunk},         /* BYTES per write; 0: no limit */
    {"cut", command_cut},             /* [here] up|down BYTES [fin|rst|hold] */
    {"drop", command_drop},           /* [fin|rst] */
    {"hold", command_hold},           /* forward and accept nothing more */
    {"release", command_release},     /* end of hold, and of cuts of kind hold */
    {"refuse", command_refuse},       /* on|off: close the listening socket */
    {"corrupt", command_corrupt},     /* [here] up|down OFFSET HEX */
    {"shift", command_shift},         /* drop|double|add REPLIES */
    {"inject", command_inject},       /* up|down HEX */
    {"answer", command_answer},       /* HEX, or off */
    {"replace", command_replace},     /* HEX */
    {"strip_tls", command_strip_tls}, /* on|off */
    {"renumber", command_renumber},   /* COUNT of numbers for new connections; 0: the server's */
    {"record", command_record},       /* on|off: keep what clients send, from now on */
    {"heard", command_heard},         /* a line of it before the answer */
    {"stats", command_stats},
    {"last", command_last},
    {"reset", command_reset},
};

/* The words of the line, padded with "". False if there are too many. */
static bool split(char *line, char **words) {
  static char none[] = "";
  char *rest = NULL;
  for (int i = 0; i < WORDS; i++) {
    words[i] = strtok_r(i == 0 ? line : NULL, " \t\r", &rest);
    if (words[i] == NULL)
      words[i] = none;
  }
  return words[WORDS - 1][0] == 0;
}

static const char *run(struct relay *r, char **words) {
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
    if (strcmp(words[0], commands[i].name) == 0)
      return commands[i].run(r, words + 1);
  return "unknown command";
}

bool command_run(struct relay *r, char *line) {
  char *words[WORDS];
  const char *wrong = "too many words";
  r->details[0] = 0;
  if (split(line, words)) {
    if (strcmp(words[0], "quit") == 0)
      return false;
    wrong = run(r, words);
  }
  relay_pump(r); /* what the owner does next finds the command carried out */
  if (wrong != NULL)
    printf("error %s\n", wrong);
  else
    printf("ok%s\n", r->details);
  fflush(stdout);
  return true;
}
