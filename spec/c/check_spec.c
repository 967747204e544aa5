/* The pool's invariants, broken on purpose: each is reported by its number. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "slots.h"
#include "world.h"

/* The number that pool_check told before it aborted, in a process of its own that breaks the pool first; 0
   when it found nothing. */
static unsigned found_after(void (*damage)(void)) {
  int ends[2];
  char text[200] = "";
  unsigned number = 0;
  expect(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    damage();
    pool_check(pool);
    _exit(0);
  }
  close(ends[1]);
  ssize_t length = read(ends[0], text, sizeof text - 1);
  close(ends[0]);
  int status;
  expect(waitpid(child, &status, 0) == child);
  expect(length <= 0 ? WIFEXITED(status) : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  sscanf(text, "mypool: invariant %u of the pool is broken: ", &number);
  return number;
}

static mp_slot *one(slot_state state) {
  for (unsigned i = 0; i < config.max_size; i++)
    if (pool->slots[i].state == state)
      return &pool->slots[i];
  return NULL;
}

/* Slots of each kind, two of them idle: the third went to the loan that waits for its connect. */
static void furnish(void) {
  mp_session *idle[3];
  config.max_size = 7;
  open_pool();
  make_one_recovering();
  plan(ON_OPEN, waits);
  ask_and_wait();
  lend();
  make_idle(3, idle);
}

static void nothing(void) {
}

it("finds nothing broken in a pool that is well") {
  furnish();
  expect_equal(found_after(nothing), 0);
}

static void miscount(void) {
  pool->counts[SLOT_LENT]++;
}
static void fill_empty(void) {
  one(SLOT_EMPTY)->loan = one(SLOT_LENT)->loan;
}
static void lend_idle(void) {
  one(SLOT_IDLE)->loan = one(SLOT_LENT)->loan;
}
static void strip_lent(void) {
  one(SLOT_LENT)->session = NULL;
}
static void strip_opening(void) {
  one(SLOT_OPENING)->session = NULL;
  one(SLOT_OPENING)->loan = NULL;
}
static void strip_recovering(void) {
  one(SLOT_RECOVERING)->session = NULL;
}
static void turn_loan(void) {
  one(SLOT_LENT)->loan->slot = one(SLOT_IDLE);
}
static void miscount_opened(void) {
  pool->stats.opened++;
}

it("reports a slot that is not as its state says (1 to 8)") {
  furnish();
  expect_equal(found_after(miscount), 1);
  expect_equal(found_after(fill_empty), 2);
  expect_equal(found_after(lend_idle), 3);
  expect_equal(found_after(strip_lent), 4);
  expect_equal(found_after(strip_opening), 5);
  expect_equal(found_after(strip_recovering), 6);
  expect_equal(found_after(turn_loan), 7);
  expect_equal(found_after(miscount_opened), 8);
}

static void cut_list(void) {
  pool->idle.newest->older = NULL;
}
static void end_early(void) {
  pool->idle.oldest->expires_ns = pool->idle.ends_ns - 1;
}
static void lose_idle(void) {
  pool->idle.oldest->lost = true;
}
static void forget_replies(void) {
  pool->idle.oldest->reset.pending = false;
}

it("reports an idle list that is not in order (9, 10, 17, 19)") {
  furnish();
  expect_equal(found_after(cut_list), 9);
  expect_equal(found_after(end_early), 10);
  expect_equal(found_after(lose_idle), 17);
  expect_equal(found_after(forget_replies), 19);
}

static void swap_tickets(void) {
  pool->queue.first->turn.ticket = pool->queue.last->turn.ticket + 1;
}
static void forget_last(void) {
  pool->queue.count--;
}
static void give_wakeup(void) {
  pool->queue.last->wakeup_fd = -1;
}
static void come_back_unnoticed(void) {
  mp_slot *slot = one(SLOT_LENT);
  slot->loan->slot = NULL;
  slot_move(pool, slot, SLOT_IDLE);
}

it("reports a queue that is not in order, and one that is not served (11, 12, 13)") {
  config.max_size = 2;
  open_pool();
  lend();
  lend();
  ask_and_wait();
  ask_and_wait();
  expect_equal(found_after(swap_tickets), 11);
  expect_equal(found_after(forget_last), 11);
  expect_equal(found_after(give_wakeup), 13);
  expect_equal(found_after(come_back_unnoticed), 12);
}

static void leave_replies(void) {
  one(SLOT_LENT)->reset.pending = true;
}
static void stay_seeking(void) {
  one(SLOT_LENT)->loan->stage = LOAN_SEEKING;
}
static void close_half(void) {
  pool->closed = true;
}
static void park_held(void) {
  one(SLOT_LENT)->loan->parked = true;
}

it("reports a loan whose stage does not fit, and a pool that is closed by half (14, 15, 16, 18)") {
  furnish();
  expect_equal(found_after(leave_replies), 14);
  expect_equal(found_after(stay_seeking), 15);
  expect_equal(found_after(close_half), 16);
  expect_equal(found_after(park_held), 18);
}
