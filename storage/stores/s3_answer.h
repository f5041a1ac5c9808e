/*
 * What an exchange's end means: done, absent, worth another try, or a failure
 * that a person can do something about; and how long to wait before the next
 * try, and how many may be under way at once.  Pure: time and chance are
 * arguments.
 *
 * One table says of each of S3's error codes what it is to us; a message ends
 * with the code and the request's id, which is what a provider asks for.
 */
#ifndef STORAGE_STORES_S3_ANSWER_H
#define STORAGE_STORES_S3_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "storage/stores/s3_http.h"
#include "storage/stores/s3_place.h"
#include "storage/stores/s3_xml.h"

enum s3_verdict {
	S3_DONE = 1,
	S3_ABSENT,   /* no such object, version, upload, lock */
	S3_TAKEN,    /* the condition that it be absent failed */
	S3_BEYOND,   /* the range begins behind the object's end */
	S3_AGAIN,    /* another try may succeed */
	S3_SLOWER,   /* the same, and the server asks for fewer of them */
	S3_NEW_KEYS, /* the same, with newer credentials */
	S3_FAILED,
};

/* What is judged. */
struct s3_question {
	const struct s3_place *place;
	const char *right;  /* the permission it takes: "s3:PutObject" */
	const char *key_id; /* who signed */
	const char *origin; /* where the keys come from */
	struct instant now; /* by this machine's clock */
	bool has_words; /* a failure has a text, as that of a HEAD has not */
};

/*
 * error may hold nothing (a reply without a body).  e is filled in for all
 * but S3_DONE, S3_ABSENT, S3_TAKEN and S3_BEYOND.
 */
enum s3_verdict s3_answer(const struct s3_question *q,
			  const struct s3_exchange *x,
			  const struct s3_error *error, struct err *e)
	NONNULL(1, 2, 3, 4);

/*
 * How long to wait before try number `attempt` (from 1 for the second): at
 * random between 0 and what doubles from 100 ms to 20 s ("full jitter", as in
 * Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), but
 * at least what the server asked for, of which no more than a minute counts.
 */
int64_t s3_delay_ms(unsigned int attempt, uint64_t chance,
		    int64_t retry_after_s);

/*
 * How many requests may be under way: one more for each round of successes,
 * half as many when the server is slower than that (additive increase,
 * multiplicative decrease, as TCP's congestion control), at most once in a
 * second, since what was sent before still comes back.
 */
struct s3_lanes {
	double width;
	int64_t narrowed_ms; /* when, on the caller's clock */
};
#define S3_LANES_START 8
#define S3_LANES_MAX   64
void s3_lanes_init(struct s3_lanes *l) NONNULL(1);
void s3_lanes_passed(struct s3_lanes *l) NONNULL(1);
void s3_lanes_slowed(struct s3_lanes *l, int64_t now_ms) NONNULL(1);
unsigned int s3_lanes_width(const struct s3_lanes *l) NONNULL(1);

#endif
