#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "schedules/retention.h"
#include "schedules/retention_internal.h"

static const struct {
	const char *name;
	enum retention_value value;
	enum retention_bucket bucket;
} kinds[RETENTION_KINDS] = {
	[RETENTION_LAST] = { "keep-last", RETENTION_COUNT, BUCKET_EACH },
	[RETENTION_HOURLY] = { "keep-hourly", RETENTION_COUNT, BUCKET_HOUR },
	[RETENTION_DAILY] = { "keep-daily", RETENTION_COUNT, BUCKET_DAY },
	[RETENTION_WEEKLY] = { "keep-weekly", RETENTION_COUNT, BUCKET_WEEK },
	[RETENTION_MONTHLY] = { "keep-monthly", RETENTION_COUNT, BUCKET_MONTH },
	[RETENTION_YEARLY] = { "keep-yearly", RETENTION_COUNT, BUCKET_YEAR },
	[RETENTION_WITHIN] = { "keep-within", RETENTION_DURATION, BUCKET_EACH },
	[RETENTION_WITHIN_HOURLY] = { "keep-within-hourly", RETENTION_DURATION,
				      BUCKET_HOUR },
	[RETENTION_WITHIN_DAILY] = { "keep-within-daily", RETENTION_DURATION,
				     BUCKET_DAY },
	[RETENTION_WITHIN_WEEKLY] = { "keep-within-weekly", RETENTION_DURATION,
				      BUCKET_WEEK },
	[RETENTION_WITHIN_MONTHLY] = { "keep-within-monthly",
				       RETENTION_DURATION, BUCKET_MONTH },
	[RETENTION_WITHIN_YEARLY] = { "keep-within-yearly", RETENTION_DURATION,
				      BUCKET_YEAR },
	[RETENTION_TAGS] = { "keep-tags", RETENTION_TAG_LIST, BUCKET_EACH },
	[RETENTION_NO_RULES] = { "no-rules", RETENTION_COUNT, BUCKET_EACH },
	[RETENTION_FUTURE] = { "future", RETENTION_COUNT, BUCKET_EACH },
	[RETENTION_AD_HOC] = { "ad-hoc", RETENTION_COUNT, BUCKET_EACH },
};

int retention_kind_named(const char *name, enum retention_kind *ret)
{
	for (unsigned int i = 0; i < RETENTION_RULES; i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			*ret = (enum retention_kind)i;
			return 1;
		}
	}
	return 0;
}

const char *retention_kind_name(enum retention_kind kind)
{
	return (unsigned int)kind < RETENTION_KINDS ? kinds[kind].name : "";
}

enum retention_value retention_kind_value(enum retention_kind kind)
{
	return kinds[kind].value;
}

enum retention_bucket retention_bucket_of(enum retention_kind kind)
{
	return kinds[kind].bucket;
}

static int add(struct retention_policy *p, const struct retention_rule *r,
	       enum retention_value value, struct err *e)
{
	static const char *const wants[] = {
		[RETENTION_COUNT] = "a count",
		[RETENTION_DURATION] = "a duration",
		[RETENTION_TAG_LIST] = "a list of tags",
	};
	const char *name = retention_kind_name(r->kind);

	if ((unsigned int)r->kind >= RETENTION_RULES)
		return err_set(e, ERR_USAGE, "there is no such rule");
	if (kinds[r->kind].value != value)
		return err_set(e, ERR_USAGE, "%s takes %s, not %s", name,
			       wants[kinds[r->kind].value], wants[value]);
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].kind == r->kind)
			return err_set(e, ERR_USAGE, "%s is there twice", name);
	p->rules[p->n_rules++] = *r;
	return 0;
}

int retention_add_count(struct retention_policy *p, enum retention_kind kind,
			int64_t count, struct err *e)
{
	const struct retention_rule r = { .kind = kind, .count = count };

	if (count < -1)
		return err_set(e, ERR_USAGE,
			       "%s: found %lld, expected a count of 0 or more, "
			       "or -1 for all",
			       retention_kind_name(kind), (long long)count);
	return add(p, &r, RETENTION_COUNT, e);
}

int retention_add_duration(struct retention_policy *p, enum retention_kind kind,
			   const char *text, struct err *e)
{
	struct retention_rule r = { .kind = kind };

	if (duration_parse(text, &r.within, e))
		return err_wrap(e, "%s", retention_kind_name(kind));
	if (duration_is_zero(r.within))
		return err_set(e, ERR_USAGE, "%s: %s is no time at all",
			       retention_kind_name(kind),
			       text_quote_str(text).s);
	return add(p, &r, RETENTION_DURATION, e);
}

int retention_add_tags(struct retention_policy *p, const char *const *tags,
		       size_t n_tags, struct err *e)
{
	const struct retention_rule r = { .kind = RETENTION_TAGS,
					  .tags = tags,
					  .n_tags = n_tags };

	return add(p, &r, RETENTION_TAG_LIST, e);
}

static void format_date(int64_t days, int parts, char *out)
{
	int64_t year;
	unsigned int month;
	unsigned int day;
	int used;

	instant_civil_from_days(days, &year, &month, &day);
	used = snprintf(out, RETENTION_BUCKET_TEXT, "%04lld", (long long)year);
	if (parts > 1)
		used += snprintf(out + used, 8, "-%02u", month);
	if (parts > 2)
		(void)snprintf(out + used, 8, "-%02u", day);
}

/* The ISO week's year is that of its Thursday. */
static void format_week(int64_t week, char *out)
{
	const int64_t thursday = week * 7;
	int64_t year;
	unsigned int month;
	unsigned int day;

	instant_civil_from_days(thursday, &year, &month, &day);
	(void)snprintf(
		out, RETENTION_BUCKET_TEXT, "%04lld-W%02d", (long long)year,
		(int)((thursday - instant_days_from_civil(year, 1, 1)) / 7 +
		      1));
}

static void format_each(const struct retention_policy *p,
			const struct retention_reason *r, char *out)
{
	const struct retention_rule *rule = &p->rules[r->rule];
	char within[DURATION_TEXT];

	switch (retention_kind_value(r->kind)) {
	case RETENTION_COUNT:
		if (rule->count < 0)
			(void)snprintf(out, RETENTION_BUCKET_TEXT, "all");
		else
			(void)snprintf(out, RETENTION_BUCKET_TEXT, "%lld",
				       (long long)r->bucket);
		break;
	case RETENTION_DURATION:
		duration_format(rule->within, within);
		(void)snprintf(out, RETENTION_BUCKET_TEXT, "%s", within);
		break;
	case RETENTION_TAG_LIST:
		(void)snprintf(out, RETENTION_BUCKET_TEXT, "%s",
			       rule->tags[r->bucket]);
		break;
	}
}

void retention_bucket_format(const struct retention_policy *p,
			     const struct retention_reason *r,
			     char out[RETENTION_BUCKET_TEXT])
{
	const int64_t b = r->bucket;
	const int64_t day = b >= 0 ? b / 24 : -((23 - b) / 24);
	size_t used;

	out[0] = '\0';
	if (r->kind >= RETENTION_RULES)
		return;
	switch (retention_bucket_of(r->kind)) {
	case BUCKET_EACH:
		format_each(p, r, out);
		break;
	case BUCKET_HOUR:
		format_date(day, 3, out);
		used = strlen(out);
		(void)snprintf(out + used, RETENTION_BUCKET_TEXT - used,
			       "T%02d", (int)(b - day * 24));
		break;
	case BUCKET_DAY:
		format_date(b, 3, out);
		break;
	case BUCKET_WEEK:
		format_week(b, out);
		break;
	case BUCKET_MONTH:
		format_date(b, 2, out);
		break;
	case BUCKET_YEAR:
		format_date(b, 1, out);
		break;
	}
}
