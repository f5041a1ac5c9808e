/*
 * Private to schedules/retention*.c: what a bucket is.
 *
 * A bucket's number is, for hours, the count of hours on the wall since 1970;
 * for days, the day since 1970; for weeks, the number of the Thursday in the
 * week counted from the first one (1970-01-01); for months and years, the day
 * on which they begin.
 */
#ifndef SCHEDULES_RETENTION_INTERNAL_H
#define SCHEDULES_RETENTION_INTERNAL_H

#include "schedules/retention.h"

enum retention_bucket {
	BUCKET_EACH,
	BUCKET_HOUR,
	BUCKET_DAY,
	BUCKET_WEEK,
	BUCKET_MONTH,
	BUCKET_YEAR,
};

enum retention_bucket retention_bucket_of(enum retention_kind kind);

#endif
