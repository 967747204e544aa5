/* Numbers as text, under every locale of the program. make test-c has those made for it. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mypool.h"
#include "spec.h"

static const char *const locales[] = {"C", "de_DE.UTF-8", "ps_AF.UTF-8"};
enum { LOCALES = sizeof locales / sizeof *locales };

/* The first half of a promise, within a locale, must expect nothing: a failure would leave that behind. */
static void use(const char *locale) {
  const char *used = setlocale(LC_ALL, locale);
  setlocale(LC_ALL, used ? locale : "C");
  if (!used)
    spec_fail(__FILE__, __LINE__, "%s is not below LOCPATH", locale);
}

static void leave(void) {
  setlocale(LC_ALL, "C");
}

static bool reads(const char *text, double *value) {
  return mp_read_float(text, strlen(text), value);
}

it("reads floats with a decimal point, under every locale") {
  static const struct {
    const char *text;
    double value;
  } numbers[] = {{"0", 0},
                 {"-0.5", -0.5},
                 {"1.25e-30", 1.25e-30},
                 {"12345678.9012345678", 12345678.9012345678},
                 {"1.7976931348623157e308", 1.7976931348623157e308},
                 {"0.10000000000000000000000000000000000000000000000000000000000000000000000000", 0.1},
                 {"000000000000000000000000000000000000000000000000000000000000000000000000.5", 0.5}};
  for (size_t i = 0; i < LOCALES * (sizeof numbers / sizeof *numbers); i++) {
    const char *text = numbers[i / LOCALES].text;
    double value;
    use(locales[i % LOCALES]);
    bool read = reads(text, &value);
    leave();
    spec_note("%s under %s", text, locales[i % LOCALES]);
    expect(read && value == numbers[i / LOCALES].value);
  }
}

it("reads nothing that is no number as a whole") {
  static const char *const texts[] = {"",
                                      "-",
                                      ".",
                                      "-.",
                                      "1,5",
                                      "1.5 ",
                                      "1.2.3",
                                      "abc",
                                      "1e",
                                      "1e5x",
                                      "--1",
                                      "1-",
                                      "0,1e5",
                                      ("1\xD9\xAB"
                                       "5")};
  for (size_t i = 0; i < LOCALES * (sizeof texts / sizeof *texts); i++) {
    double value;
    use(locales[i % LOCALES]);
    bool read = reads(texts[i / LOCALES], &value);
    leave();
    spec_note("'%s' under %s", texts[i / LOCALES], locales[i % LOCALES]);
    expect(!read);
  }
}

it("reads numbers up to the longest, and none beyond") {
  char text[MP_LONGEST_NUMBER + 1];
  double value;
  uint64_t digits;
  memset(text, '0', sizeof text);
  text[MP_LONGEST_NUMBER - 1] = '7';
  expect(mp_read_float(text, MP_LONGEST_NUMBER, &value) && value == 7);
  expect(mp_read_digits(text, MP_LONGEST_NUMBER, &digits) && digits == 7);
  expect(!mp_read_float(text, MP_LONGEST_NUMBER + 1, &value));
  expect(!mp_read_digits(text, MP_LONGEST_NUMBER + 1, &digits));
}

it("reads no further than the length") {
  double value;
  uint64_t digits;
  expect(mp_read_float("1.5e10", 3, &value) && value == 1.5);
  expect(mp_read_float("12345678901234567890", 18, &value) && value == 123456789012345678.0);
  expect(mp_read_digits("123", 2, &digits) && digits == 12);
}

it("reads whole numbers of digits only") {
  static const char *const texts[] = {"", "-1", "+1", " 1", "1 ", "1.0", "1e3", "x", "9:", "/9"};
  uint64_t digits;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    expect(!mp_read_digits(texts[i], strlen(texts[i]), &digits));
  expect(mp_read_digits("18446744073709551615", 20, &digits) && digits == UINT64_MAX);
}

it("writes a decimal point under every locale") {
  static const struct {
    double value;
    const char *text;
  } numbers[] = {
      {1.5, "1.5"}, {-1.25e-10, "-1.25e-10"}, {0.1 + 0.2, "0.30000000000000004"}, {1234567.5, "1234567.5"}};
  for (size_t i = 0; i < LOCALES * (sizeof numbers / sizeof *numbers); i++) {
    char text[MP_FLOAT_ROOM];
    use(locales[i % LOCALES]);
    size_t length = mp_write_float(text, numbers[i / LOCALES].value);
    leave();
    expect_text(text, numbers[i / LOCALES].text);
    expect_equal(length, strlen(text));
  }
}

it("rounds alike under every locale, and leaves that as it was") {
  for (size_t i = 0; i < LOCALES; i++) {
    use(locales[i]);
    double decimals = mp_round_decimals(2.0 / 3, 2), digits = mp_round_digits(200.0 / 3, 6),
           large = mp_round_decimals(-1.7e308, 30);
    bool kept = strcmp(setlocale(LC_ALL, NULL), locales[i]) == 0;
    char mark[8];
    snprintf(mark, sizeof mark, "%.1f", 0.5);
    double read = strtod(mark, NULL);
    leave();
    expect(decimals == 0.67 && digits == 66.6667 && large == -1.7e308);
    expect(kept && read == 0.5);
  }
}
