/*
 * What S3 says locks an object: the first byte chooses what is known of the
 * server and what it answers, then come, each to its NUL, the two headers and
 * the replies to the questions for the retention, the hold and the bucket's
 * object lock.  What cannot be read is never taken for no lock.
 */
#include "storage/stores/s3_internal.h"
#include "storage/stores/s3_xml.h"
#include "tests/support/fuzz.h"

enum part { UNTIL, HELD, RETENTION, LEGAL_HOLD, BUCKET, PARTS };
enum flag {
	TELLS_LOCKS = 1,
	SEES_HOLDS = 2,
	NO_RETENTION = 4,
	NO_HOLD = 8,
	NO_BUCKET = 16,
	GOVERNANCE = 32,
	COMPLIANCE = 64,
};

static unsigned int flags;
static const char *parts[PARTS];
static struct s3_place place;
static uint64_t nobody; /* whom the wrapped functions never ask */

const struct s3_place *__wrap_s3_client_place(const struct s3_client *c);
const struct s3_place *__wrap_s3_client_place(const struct s3_client *c)
{
	(void)c;
	return &place;
}

int __wrap_s3_head_version(struct s3 *s, const char *name, const char *version,
			   struct s3_http_reply *ret, struct err *e);
int __wrap_s3_head_version(struct s3 *s, const char *name, const char *version,
			   struct s3_http_reply *ret, struct err *e)
{
	(void)s;
	(void)name;
	(void)version;
	(void)e;
	*ret = (struct s3_http_reply){ .status = 206 };
	(void)snprintf(ret->lock_until, sizeof(ret->lock_until), "%s",
		       parts[UNTIL]);
	(void)snprintf(ret->lock_hold, sizeof(ret->lock_hold), "%s",
		       parts[HELD]);
	return 1;
}

int __wrap_s3_call(struct s3_client *c, struct s3_call *call, struct err *e);
int __wrap_s3_call(struct s3_client *c, struct s3_call *call, struct err *e)
{
	static const struct {
		const char *query;
		enum part part;
		enum flag none;
	} rows[] = {
		{ "retention=", RETENTION, NO_RETENTION },
		{ "legal-hold=", LEGAL_HOLD, NO_HOLD },
		{ "object-lock=", BUCKET, NO_BUCKET },
	};
	size_t i = 0;

	(void)c;
	while (strncmp(call->query, rows[i].query, strlen(rows[i].query)) != 0)
		FUZZ_PROMISE(++i < sizeof(rows) / sizeof(*rows));
	call->verdict = flags & rows[i].none ? S3_ABSENT : S3_DONE;
	return buf_add(call->body_buf, parts[rows[i].part],
		       strlen(parts[rows[i].part]), e);
}

/* 1 and what a reply says at a path, 0: nothing, or nothing that fits. */
static int says(enum part part, const char *root, const char *path, char *out,
		size_t room)
{
	struct err ignored;

	return s3_xml_text(parts[part], strlen(parts[part]), root, path, out,
			   room, &ignored) == 0;
}

static void check_until(const struct store_guard *g)
{
	struct instant until = { .sec = 0 };
	char text[64];
	struct err e;

	(void)snprintf(text, sizeof(text), "%s", parts[UNTIL]);
	if (!text[0] && !(flags & (TELLS_LOCKS | NO_RETENTION)))
		FUZZ_PROMISE(says(RETENTION, "Retention", "RetainUntilDate",
				  text, sizeof(text)));
	FUZZ_PROMISE(!text[0] || instant_parse(text, &until, &e) == 0);
	FUZZ_PROMISE(instant_compare(g->until, until) == 0);
}

static void check_held(const struct store_guard *g)
{
	const bool told = (flags & TELLS_LOCKS) && (flags & SEES_HOLDS);
	char text[8];

	(void)snprintf(text, sizeof(text), "%s", parts[HELD]);
	if (!text[0] && !told && !(flags & NO_HOLD))
		FUZZ_PROMISE(says(LEGAL_HOLD, "LegalHold", "Status", text,
				  sizeof(text)));
	FUZZ_PROMISE(g->held == (strcmp(text, "ON") == 0));
}

/* It cannot be read: then one of the two makes no sense. */
static bool is_senseless(void)
{
	const bool told = (flags & TELLS_LOCKS) && (flags & SEES_HOLDS);
	struct instant until;
	struct err e;
	char text[64];

	(void)snprintf(text, sizeof(text), "%s", parts[UNTIL]);
	if (!text[0] && !(flags & (TELLS_LOCKS | NO_RETENTION)) &&
	    !says(RETENTION, "Retention", "RetainUntilDate", text,
		  sizeof(text)))
		return true;
	if (text[0] && instant_parse(text, &until, &e) < 0)
		return true;
	return !parts[HELD][0] && !told && !(flags & NO_HOLD) &&
	       !says(LEGAL_HOLD, "LegalHold", "Status", text, 8);
}

static void check_object(struct s3 *s)
{
	struct store_guard g = { .until = { .sec = 77 }, .held = true };
	struct err e = { 0 };

	s->tells_locks = flags & TELLS_LOCKS;
	s->may_see_holds = flags & SEES_HOLDS;
	if (s3_guard_of(s, "name", "version", &g, &e) == 1) {
		check_until(&g);
		check_held(&g);
		return;
	}
	FUZZ_PROMISE(e.code == ERR_IO && e.text[0] && is_senseless());
}

static void check_bucket(struct s3 *s)
{
	const char *wanted = flags & GOVERNANCE	  ? "governance"
			     : flags & COMPLIANCE ? "compliance"
						  : "";
	struct err e = { 0 };
	char text[32];
	bool has;
	int r;

	(void)snprintf(place.lock, sizeof(place.lock), "%s", wanted);
	s->locking = S3_LOCK_UNKNOWN;
	r = s3_can_guard(&s->store, &e);
	has = !(flags & NO_BUCKET) &&
	      says(BUCKET, "ObjectLockConfiguration", "ObjectLockEnabled", text,
		   sizeof(text)) &&
	      strcmp(text, "Enabled") == 0;
	/* What the URL wants is not given up silently. */
	FUZZ_PROMISE(r == (has ? 1 : wanted[0] ? -1 : 0));
	FUZZ_PROMISE(r >= 0 || (e.code == ERR_USAGE && e.text[0]));
	if (!has)
		return;
	has = says(BUCKET, "ObjectLockConfiguration",
		   "Rule/DefaultRetention/Mode", text, sizeof(text)) &&
	      strcmp(text, "GOVERNANCE") == 0;
	FUZZ_PROMISE(
		strcmp(s3_lock_mode(s), (wanted[0] ? flags & GOVERNANCE : has)
						? "GOVERNANCE"
						: "COMPLIANCE") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct s3 s = { .asking = PTHREAD_MUTEX_INITIALIZER,
			       .lock = PTHREAD_MUTEX_INITIALIZER,
			       .locking = S3_LOCK_THERE };
	char *copy;
	char *at;

	if (n == 0 || n > (16 << 10))
		return 0;
	flags = bytes[0];
	copy = malloc(n + PARTS);
	if (!copy)
		abort();
	memcpy(copy, bytes + 1, n - 1);
	memset(copy + n - 1, 0, PARTS + 1);
	at = copy;
	for (size_t i = 0; i < PARTS; i++) {
		parts[i] = at;
		at += strlen(at) + 1;
	}
	s.client = (struct s3_client *)(void *)&nobody;
	s.locking = S3_LOCK_THERE;
	check_object(&s);
	check_bucket(&s);
	free(copy);
	return 0;
}
