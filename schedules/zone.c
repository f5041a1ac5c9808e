#include "schedules/zone.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "schedules/zone_rule.h"

#define SECONDS_PER_DAY 86400

/*
 * Real files have at most some 250 transitions.  The ceiling bounds the work
 * that a hostile file can cause: zone_high_water() may look at all of them.
 */
#define TRANSITIONS_MAX 4096

struct zone {
	int32_t first_offset; /* before the first transition */
	bool has_rule;
	struct zone_rule rule; /* from the last transition on */
	size_t n;
	/* Ascending; neighbours have different offsets. */
	struct transition {
		int64_t at;
		int32_t offset; /* from then on */
	} transitions[];
};

static const struct zone utc = { .has_rule = false };

const struct zone *zone_utc(void)
{
	return &utc;
}

int zone_new_utc(struct zone **ret, struct err *e)
{
	struct zone *z = calloc(1, sizeof(*z));

	if (!z)
		return err_oom(e);
	*ret = z;
	return 0;
}

void zone_free(struct zone *z)
{
	free(z);
}

/* RFC 8536 section 3.1. */
struct header {
	unsigned int version;
	uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

/* TZif is big-endian, unlike everything of ours. */
static uint32_t big32(struct cursor *c)
{
	return __builtin_bswap32(cursor_u32(c));
}

static int64_t big_time(struct cursor *c, size_t width)
{
	if (width == 4)
		return (int32_t)big32(c);
	return (int64_t)__builtin_bswap64(cursor_u64(c));
}

static int read_header(struct cursor *c, struct header *ret, struct err *e)
{
	const uint8_t *magic = cursor_bytes(c, 4);
	uint8_t version;

	if (!magic || memcmp(magic, "TZif", 4) != 0)
		return err_set(e, ERR_CORRUPT, "not a time zone file");
	version = cursor_u8(c);
	(void)cursor_bytes(c, 15);
	ret->version = version == 0 ? 1 : (unsigned int)(version - '0');
	ret->isutcnt = big32(c);
	ret->isstdcnt = big32(c);
	ret->leapcnt = big32(c);
	ret->timecnt = big32(c);
	ret->typecnt = big32(c);
	ret->charcnt = big32(c);
	if (c->bad)
		return err_set(e, ERR_CORRUPT, "the time zone file is cut off");
	if (ret->version < 1 || ret->version > 9)
		return err_set(e, ERR_CORRUPT,
			       "the time zone file has no known version");
	if (ret->timecnt > TRANSITIONS_MAX || ret->typecnt < 1 ||
	    ret->typecnt > 256)
		return err_set(e, ERR_CORRUPT,
			       "the time zone file has %u transitions and %u "
			       "types, at most %d and 1 to 256 are allowed",
			       ret->timecnt, ret->typecnt, TRANSITIONS_MAX);
	return 0;
}

static size_t block_size(const struct header *h, size_t width)
{
	return (size_t)h->timecnt * (width + 1) + (size_t)h->typecnt * 6 +
	       h->charcnt + (size_t)h->leapcnt * (width + 4) + h->isstdcnt +
	       h->isutcnt;
}

static int read_offsets(struct cursor *c, const struct header *h,
			int32_t offsets[256], struct err *e)
{
	for (uint32_t i = 0; i < h->typecnt; i++) {
		const int32_t offset = (int32_t)big32(c);

		(void)cursor_bytes(c, 2); /* summer time?, name */
		if (offset < -ZONE_OFFSET_MAX || offset > ZONE_OFFSET_MAX)
			return err_set(e, ERR_CORRUPT,
				       "the time zone file has an offset of "
				       "%d seconds",
				       offset);
		offsets[i] = offset;
	}
	return 0;
}

/* Transitions that do not move the clock are left out. */
static int read_transitions(struct cursor *c, const struct header *h,
			    size_t width, struct zone *z, struct err *e)
{
	struct cursor times = cursor_sub(c, (size_t)h->timecnt * width);
	struct cursor types = cursor_sub(c, h->timecnt);
	int32_t offsets[256];
	int32_t before;
	int64_t last = INT64_MIN;

	if (read_offsets(c, h, offsets, e))
		return -1;
	before = z->first_offset = offsets[0];
	for (uint32_t i = 0; i < h->timecnt; i++) {
		const int64_t at = big_time(&times, width);
		const uint8_t type = cursor_u8(&types);

		if (type >= h->typecnt)
			return err_set(e, ERR_CORRUPT,
				       "the time zone file names type %u of %u",
				       type, h->typecnt);
		if (at <= last)
			return err_set(e, ERR_CORRUPT,
				       "the transitions of the time zone file "
				       "do not ascend");
		last = at;
		if (offsets[type] == before)
			continue;
		before = offsets[type];
		z->transitions[z->n++] = (struct transition){ at, before };
	}
	return 0;
}

static int read_footer(struct cursor *c, struct zone *z, struct err *e)
{
	const char *text;
	const char *end;

	if (cursor_u8(c) != '\n' || c->bad)
		return err_set(e, ERR_CORRUPT,
			       "the time zone file has no footer");
	text = (const char *)c->p;
	end = memchr(text, '\n', c->left);
	if (!end)
		return err_set(e, ERR_CORRUPT,
			       "the footer of the time zone file has no end");
	z->has_rule = end > text;
	if (!z->has_rule)
		return 0;
	return zone_rule_parse(text, (size_t)(end - text), &z->rule, e);
}

static int read_block(struct cursor *c, const struct header *h, size_t width,
		      struct zone **ret, struct err *e)
{
	struct zone *z;
	struct cursor block = cursor_sub(c, block_size(h, width));

	if (block.bad)
		return err_set(e, ERR_CORRUPT, "the time zone file is cut off");
	if (h->leapcnt)
		return err_set(e, ERR_USAGE,
			       "the time zone file counts leap seconds");
	z = calloc(1, sizeof(*z) + h->timecnt * sizeof(z->transitions[0]));
	if (!z)
		return err_oom(e);
	if (read_transitions(&block, h, width, z, e) ||
	    (width == 8 && read_footer(c, z, e))) {
		zone_free(z);
		return -1;
	}
	*ret = z;
	return 0;
}

int zone_new(const void *bytes, size_t n, struct zone **ret, struct err *e)
{
	struct cursor c = cursor_of(bytes, n);
	struct header h;

	if (n > ZONE_FILE_MAX)
		return err_set(e, ERR_CORRUPT,
			       "a time zone file of %zu bytes is too large", n);
	if (read_header(&c, &h, e))
		return -1;
	if (h.version == 1)
		return read_block(&c, &h, 4, ret, e);
	/* Since version 2 the 32-bit block is there for old readers only. */
	(void)cursor_bytes(&c, block_size(&h, 4));
	if (read_header(&c, &h, e))
		return -1;
	return read_block(&c, &h, 8, ret, e);
}

/* The number of transitions at or before utc_s. */
static size_t transitions_until(const struct zone *z, int64_t utc_s)
{
	size_t lo = 0;
	size_t hi = z->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (z->transitions[mid].at <= utc_s)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct zone_span zone_span(const struct zone *z, int64_t utc_s)
{
	const size_t i = transitions_until(z, utc_s);
	struct zone_span sp = { INT64_MIN, INT64_MAX, z->first_offset };

	if (i > 0) {
		sp.from = z->transitions[i - 1].at;
		sp.offset_s = z->transitions[i - 1].offset;
	}
	if (i < z->n)
		sp.until = z->transitions[i].at;
	if (i == z->n && z->has_rule) {
		struct zone_span ruled = zone_rule_span(&z->rule, utc_s);

		if (ruled.from > sp.from)
			sp.from = ruled.from;
		sp.until = ruled.until;
		sp.offset_s = ruled.offset_s;
	}
	return sp;
}

int32_t zone_offset_s(const struct zone *z, int64_t utc_s)
{
	return zone_span(z, utc_s).offset_s;
}

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

int64_t zone_to_local(const struct zone *z, int64_t utc_s)
{
	return add(utc_s, zone_offset_s(z, utc_s));
}

/*
 * Offsets lie within ±26 h, so a span that ended more than 52 h before this
 * one began cannot have shown any of its local times.
 */
int64_t zone_high_water(const struct zone *z, struct zone_span sp)
{
	const int64_t oldest = add(sp.from, -2 * (int64_t)ZONE_OFFSET_MAX);
	int64_t mark = INT64_MIN;

	while (sp.from > INT64_MIN && sp.from >= oldest) {
		const int64_t end = sp.from;
		int64_t shown;

		sp = zone_span(z, end - 1);
		shown = add(end, sp.offset_s);
		if (shown > mark)
			mark = shown;
	}
	return mark;
}

/*
 * Walks the spans that can show local_s, oldest first.  The first that shows
 * it is the answer; otherwise the first that starts above it, having skipped
 * it.  One that ends at or below local_s is passed over.
 */
enum zone_kind zone_from_local(const struct zone *z, int64_t local_s,
			       int64_t *ret_utc_s)
{
	struct zone_span sp = zone_span(z, add(local_s, -ZONE_OFFSET_MAX - 1));

	for (;;) {
		const int64_t start = add(sp.from, sp.offset_s);
		const int64_t end = add(sp.until, sp.offset_s);

		if (sp.from > INT64_MIN && local_s < start) {
			*ret_utc_s = sp.from;
			return ZONE_GAP;
		}
		if (local_s < end || sp.until == INT64_MAX) {
			*ret_utc_s = add(local_s, -(int64_t)sp.offset_s);
			break;
		}
		sp = zone_span(z, sp.until);
	}
	while (sp.until <= add(local_s, ZONE_OFFSET_MAX) &&
	       sp.until < INT64_MAX) {
		sp = zone_span(z, sp.until);
		if (local_s >= add(sp.from, sp.offset_s) &&
		    local_s < add(sp.until, sp.offset_s))
			return ZONE_FOLD;
	}
	return ZONE_ONCE;
}
