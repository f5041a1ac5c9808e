/*
 * A server that does not answer: what is known of it, so that not every
 * request waits for it anew.  Pure: time is an argument, in milliseconds of the
 * caller's clock.
 *
 * It is given up when a call ended without a reply of any kind, after all of
 * its tries, and nobody had one since that call began.  What ends at once
 * (nobody listens) costs nothing, and does not count.  From then on
 *
 *	who is in a hurry	is refused at once
 *	anybody else		is so when the silence has lasted for three
 *				minutes; until then he has all his tries and
 *				all their patience, and an outage that he would
 *				have survived he does survive
 *
 * but for one at a time, who makes one try, the probe, and not before a pause
 * since the last one.  Whoever is refused has sent nothing, and may come again:
 * who has patience does (s3_call.h), as the server may be back since the last
 * probe.
 *
 * A reply of any kind, a 503 as well, ends all that; so does a minute without
 * a try, as what was known is old then.  So does a try that took longer than
 * one can be silent: bytes moved meanwhile, or the machine slept.
 */
#ifndef STORAGE_STORES_S3_SILENCE_H
#define STORAGE_STORES_S3_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* Zeros: nothing is known. */
struct s3_silence {
	unsigned int tries; /* that had no reply, since the last that had one */
	int64_t since_ms;   /* when the first of those began */
	int64_t last_ms;    /* when the last of them ended */
	bool was_heard;
	int64_t heard_ms; /* when the last reply came */
	bool given_up;
	bool is_asked; /* the probe is under way */
};

/* A reply came. */
void s3_silence_heard(struct s3_silence *s, int64_t now_ms) NONNULL(1);
/* A try that began then ended without one. */
void s3_silence_met(struct s3_silence *s, int64_t began_ms, int64_t now_ms,
		    int64_t pause_ms) NONNULL(1);
/* A call, whose first try began then, made its last. */
void s3_silence_give_up(struct s3_silence *s, int64_t began_ms, int64_t now_ms,
			int64_t pause_ms) NONNULL(1);

bool s3_silence_is_away(const struct s3_silence *s, int64_t now_ms,
			bool is_hurried) NONNULL(1);

enum s3_silence_turn {
	S3_SILENCE_FREE = 1,
	S3_SILENCE_PROBE, /* until s3_silence_probe_ended() */
	S3_SILENCE_REFUSED,
};
/* What somebody may do who is about to try. */
enum s3_silence_turn s3_silence_turn(struct s3_silence *s, int64_t now_ms,
				     bool is_hurried, int64_t pause_ms)
	NONNULL(1);
/* However that was. */
void s3_silence_probe_ended(struct s3_silence *s) NONNULL(1);
/* How long until the next probe; 0: it may be now, or is under way. */
int64_t s3_silence_left_ms(const struct s3_silence *s, int64_t now_ms,
			   int64_t pause_ms) NONNULL(1);

#endif
