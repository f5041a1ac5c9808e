#include "service/bandwidth.h"

#include <stdlib.h>

#include "base/clock.h"
#include "schedules/cron.h"
#include "service/zoneinfo.h"

struct window {
	struct cron cron;
	int64_t for_s;
	struct limit_rates rates;
};

struct bandwidth {
	struct limit_rates rates;
	struct zone *zone;
	size_t n;
	struct window windows[];
};

int bandwidth_new(const struct resource_region *region, struct bandwidth **ret,
		  struct err *e)
{
	const size_t n = region->window_count;
	struct bandwidth *b = calloc(1, sizeof(*b) + n * sizeof(b->windows[0]));

	if (!b)
		return err_oom(e);
	b->rates = (struct limit_rates){ .up = region->up_bytes,
					 .down = region->down_bytes };
	if (zoneinfo_load(region->time_zone, &b->zone, e) < 0) {
		bandwidth_free(b);
		return -1;
	}
	for (; b->n < n; b->n++) {
		const struct resource_bandwidth *from = &region->windows[b->n];
		struct window *w = &b->windows[b->n];

		if (cron_parse(from->cron, &w->cron, e) < 0) {
			bandwidth_free(b);
			return -1;
		}
		w->for_s = from->for_ms / 1000;
		w->rates.up = from->up_bytes;
		w->rates.down = from->down_bytes;
	}
	*ret = b;
	return 0;
}

void bandwidth_free(struct bandwidth *b)
{
	if (!b)
		return;
	zone_free(b->zone);
	free(b);
}

/* Whether one of its windows began within its length before t. */
static bool is_in(const struct bandwidth *b, const struct window *w, int64_t t)
{
	int64_t begin;

	return cron_next(&w->cron, b->zone, t - w->for_s, &begin) && begin <= t;
}

struct limit_rates bandwidth_at(const struct bandwidth *b, struct instant t)
{
	struct limit_rates rates = b->rates;

	for (size_t i = 0; i < b->n; i++) {
		const struct window *w = &b->windows[i];

		if (!is_in(b, w, t.sec))
			continue;
		rates.up = w->rates.up ? w->rates.up : rates.up;
		rates.down = w->rates.down ? w->rates.down : rates.down;
		break;
	}
	return rates;
}

static void ask(void *arg, struct limit_rates *ret)
{
	*ret = bandwidth_at(arg, clock_now());
}

static void done(void *arg)
{
	bandwidth_free(arg);
}

int bandwidth_open(const struct resource_region *region, struct store **ret,
		   struct err *e)
{
	struct limit_options o = { .ask = ask, .done = done };
	struct bandwidth *b = NULL;
	struct store *s = NULL;

	if (store_open(region->url, false, &s, e) < 0)
		return -1;
	if (region->up_bytes == 0 && region->down_bytes == 0 &&
	    region->window_count == 0) {
		*ret = s;
		return 0;
	}
	if (bandwidth_new(region, &b, e) < 0) {
		store_close(s);
		return -1;
	}
	o.arg = b;
	return limit_wrap(s, &o, ret, e);
}
