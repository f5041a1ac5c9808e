#include "storage/stores/s3_silence.h"

/* As long as a call that has replies goes on trying (s3_call.c). */
#define PATIENT_MS INT64_C(180000)
#define OLD_MS	   INT64_C(60000)
/* More than a try can be silent: the limits of s3_http.h, and some more. */
#define SPAN_MS INT64_C(60000)

/* Nobody has tried for so long that it says nothing about now. */
static bool is_old(const struct s3_silence *s, int64_t now_ms)
{
	return now_ms - s->last_ms >= OLD_MS;
}

static void forget(struct s3_silence *s)
{
	s->tries = 0;
	s->given_up = false;
}

void s3_silence_heard(struct s3_silence *s, int64_t now_ms)
{
	forget(s);
	s->was_heard = true;
	s->heard_ms = now_ms;
}

/* Others had a reply meanwhile: what was lost is one request. */
static bool is_answering(const struct s3_silence *s, int64_t began_ms)
{
	return s->was_heard && began_ms < s->heard_ms;
}

void s3_silence_met(struct s3_silence *s, int64_t began_ms, int64_t now_ms,
		    int64_t pause_ms)
{
	if (is_answering(s, began_ms))
		return;
	if (s->tries && is_old(s, began_ms))
		forget(s);
	if (now_ms - began_ms > SPAN_MS) {
		forget(s);
		began_ms = now_ms - pause_ms;
	}
	if (!s->tries || began_ms < s->since_ms)
		s->since_ms = began_ms;
	s->tries++;
	s->last_ms = now_ms;
}

void s3_silence_give_up(struct s3_silence *s, int64_t began_ms, int64_t now_ms,
			int64_t pause_ms)
{
	if (s->tries && !is_answering(s, began_ms) &&
	    now_ms - began_ms >= pause_ms / 2)
		s->given_up = true;
}

bool s3_silence_is_away(const struct s3_silence *s, int64_t now_ms,
			bool is_hurried)
{
	return s->given_up && !is_old(s, now_ms) &&
	       (is_hurried || now_ms - s->since_ms >= PATIENT_MS);
}

enum s3_silence_turn s3_silence_turn(struct s3_silence *s, int64_t now_ms,
				     bool is_hurried, int64_t pause_ms)
{
	if (!s3_silence_is_away(s, now_ms, is_hurried))
		return S3_SILENCE_FREE;
	if (s->is_asked || s3_silence_left_ms(s, now_ms, pause_ms))
		return S3_SILENCE_REFUSED;
	s->is_asked = true;
	return S3_SILENCE_PROBE;
}

void s3_silence_probe_ended(struct s3_silence *s)
{
	s->is_asked = false;
}

int64_t s3_silence_left_ms(const struct s3_silence *s, int64_t now_ms,
			   int64_t pause_ms)
{
	const int64_t left = s->last_ms + pause_ms - now_ms;

	return left > 0 ? left : 0;
}
