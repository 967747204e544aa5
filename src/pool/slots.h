/* Slots: the places of sessions in the pool, and their states. */
#ifndef MYPOOL_POOL_SLOTS_H
#define MYPOOL_POOL_SLOTS_H

#include "pool.h"

/* The only function that changes a slot's state. Keeps the counts and the idle list; a slot that is empty,
   idle or recovering has no loan. */
void slot_move(mp_pool *pool, mp_slot *slot, slot_state state);

/* A slot in this state without a loan, or NULL. */
mp_slot *slot_find(mp_pool *pool, slot_state state);

/* A slot that could be used besides those of idle sessions: one that is being opened or may be, or a
   recovery; or NULL. An empty one has been given the server on which to open it now. */
mp_slot *slot_find_other(mp_pool *pool);

/* The connect of the slot's session is about to begin. slot_take_generation: its session is not one of those
   that were evicted. */
void slot_begin_open(mp_slot *slot);
void slot_take_generation(mp_slot *slot);

/* The connect of a session, NULL if there is none, has ended: counts its time. The two functions below do so
   for a slot that is being opened. */
void slot_count_connect(mp_pool *pool, const mp_session *session);

/* The slot has got a new session. */
void slot_after_open(mp_pool *pool, mp_slot *slot);

/* Makes the slot idle, from now on. */
void slot_make_idle(mp_pool *pool, mp_slot *slot);

/* Closes the session if there is one; the slot is empty then. slot_discard: counts it as one that was
   used. */
void slot_close(mp_pool *pool, mp_slot *slot);
void slot_discard(mp_pool *pool, mp_slot *slot);

/* The lifetime of its session is over, or the session was evicted. */
bool slot_has_expired(const mp_pool *pool, const mp_slot *slot, int64_t now_ns);
bool slot_is_reusable(const mp_pool *pool, const mp_slot *slot, int64_t now_ns);

#endif
