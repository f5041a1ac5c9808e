/*
 * Random cron expressions, each as a text and as the sets of values that it
 * means, so that a test knows when one is due without asking schedules/.
 */
#ifndef TESTS_SUPPORT_CRON_DRAW_H
#define TESTS_SUPPORT_CRON_DRAW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/support/random.h"

#define CRON_DRAW_TEXT 256

/* An expression as sets of allowed values, and the text that means them. */
struct cron_draw {
	bool ok[5][64];
	bool star[5];
	char text[CRON_DRAW_TEXT];
};

static const unsigned int cron_draw_low[5] = { 0, 0, 1, 1, 0 };
static const unsigned int cron_draw_high[5] = { 59, 23, 31, 12, 6 };

static inline size_t cron_draw_list(struct random *r, struct cron_draw *t,
				    size_t f, char *out, size_t room)
{
	const uint64_t items = 1 + random_below(r, 3);
	size_t used = 0;

	for (uint64_t i = 0; i < items; i++) {
		const unsigned int span = cron_draw_high[f] - cron_draw_low[f] +
					  1;
		const unsigned int a = cron_draw_low[f] +
				       (unsigned int)random_below(r, span);
		unsigned int b = a;
		unsigned int step = 1;

		used += (size_t)snprintf(out + used, room - used, "%s%u",
					 i ? "," : "", a);
		if (random_below(r, 3) == 0) {
			b = a + (unsigned int)random_below(
					r, cron_draw_high[f] - a + 1);
			used += (size_t)snprintf(out + used, room - used, "-%u",
						 b);
			if (random_below(r, 2)) {
				step = 1 + (unsigned int)random_below(r, span);
				used += (size_t)snprintf(
					out + used, room - used, "/%u", step);
			}
		}
		for (unsigned int v = a; v <= b; v += step)
			t->ok[f][v] = true;
	}
	return used;
}

static inline size_t cron_draw_star(struct random *r, struct cron_draw *t,
				    size_t f, char *out, size_t room)
{
	const unsigned int span = cron_draw_high[f] - cron_draw_low[f] + 1;
	unsigned int step = 1;

	t->star[f] = true;
	if (random_below(r, 2))
		step = 1 + (unsigned int)random_below(r, span);
	for (unsigned int v = cron_draw_low[f]; v <= cron_draw_high[f];
	     v += step)
		t->ok[f][v] = true;
	if (step == 1)
		return (size_t)snprintf(out, room, "*");
	return (size_t)snprintf(out, room, "*/%u", step);
}

static inline struct cron_draw cron_draw(struct random *r)
{
	/* How often of ten a field is a star: most fire in most weeks. */
	static const unsigned int stars[5] = { 3, 3, 8, 9, 7 };
	struct cron_draw t;
	size_t used = 0;

	memset(&t, 0, sizeof(t));
	for (size_t f = 0; f < 5; f++) {
		char *out = t.text + used;
		const size_t room = sizeof(t.text) - used;

		used += random_below(r, 10) < stars[f]
				? cron_draw_star(r, &t, f, out, room)
				: cron_draw_list(r, &t, f, out, room);
		if (f < 4)
			t.text[used++] = ' ';
	}
	return t;
}

static inline bool cron_draw_is_fixed(const struct cron_draw *t)
{
	size_t hours = 0;

	for (size_t h = 0; h < 24; h++)
		hours += t->ok[1][h];
	return !t->star[1] && hours < 24;
}

/* Whether the wall shows a matching time: tm is UTC's of the local time. */
static inline bool cron_draw_matches(const struct cron_draw *t, int64_t local)
{
	const time_t when = (time_t)local;
	struct tm tm = { 0 };
	bool day;
	bool weekday;

	(void)gmtime_r(&when, &tm);
	if (!t->ok[0][tm.tm_min] || !t->ok[1][tm.tm_hour] ||
	    !t->ok[3][tm.tm_mon + 1])
		return false;
	day = t->ok[2][tm.tm_mday];
	weekday = t->ok[4][tm.tm_wday];
	return !t->star[2] && !t->star[4] ? day || weekday : day && weekday;
}

/* One minute or more of one hour or more of each day, as people write it. */
static inline struct cron_draw cron_draw_usual(struct random *r)
{
	static const struct {
		const char *text;
		uint64_t minutes;
		uint32_t hours;
		bool star;
	} usual[] = {
		{ "30 2 * * *", 1ULL << 30, 1U << 2, false },
		{ "0 0 * * *", 1, 1, false },
		{ "0,30 2 * * *", 1 | 1ULL << 30, 1U << 2, false },
		{ "0 2,3 * * *", 1, 1U << 2 | 1U << 3, false },
		{ "15 0-3 * * *", 1ULL << 15, 15, false },
		{ "45 23 * * *", 1ULL << 45, 1U << 23, false },
		{ "30 * * * *", 1ULL << 30, 0xffffff, true },
		{ "0 */6 * * *", 1, 1 | 1U << 6 | 1U << 12 | 1U << 18, true },
	};
	const size_t i = random_below(r, sizeof(usual) / sizeof(usual[0]));
	struct cron_draw t;

	memset(&t, 0, sizeof(t));
	(void)snprintf(t.text, sizeof(t.text), "%s", usual[i].text);
	for (size_t k = 0; k < 60; k++)
		t.ok[0][k] = usual[i].minutes >> k & 1;
	for (size_t k = 0; k < 24; k++)
		t.ok[1][k] = usual[i].hours >> k & 1;
	t.star[1] = usual[i].star;
	for (size_t f = 2; f < 5; f++) {
		t.star[f] = true;
		memset(t.ok[f], 1, sizeof(t.ok[f]));
	}
	return t;
}

#endif
