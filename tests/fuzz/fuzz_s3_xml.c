/*
 * Replies of S3, read in each of the ways that there are.  What is visited is
 * counted and has its bounds, nothing of a reply that is refused is visited,
 * and a visitor that ends is not asked again.
 */
#include "storage/stores/s3_xml.h"

#include "tests/support/fuzz.h"

struct seen {
	unsigned int n;
	unsigned int end_at; /* 0: never */
	int end_with;
	bool ids;
	uint64_t sum; /* of all that was told */
};

static void add(struct seen *s, const char *text, size_t room)
{
	const size_t n = strnlen(text, room);

	FUZZ_PROMISE(n < room);
	for (size_t i = 0; i < n; i++)
		s->sum = s->sum * 31 + (unsigned char)text[i];
}

static int visit(void *arg, const struct s3_item *item, struct err *e)
{
	struct seen *s = arg;

	s->n++;
	FUZZ_PROMISE(s->n <= 10000 && (!s->end_at || s->n <= s->end_at));
	FUZZ_PROMISE(item->key[0]);
	FUZZ_PROMISE(s->ids == (item->id[0] != '\0'));
	FUZZ_PROMISE(item->size <= INT64_MAX);
	FUZZ_PROMISE(!item->deletion || (s->ids && !item->size));
	FUZZ_PROMISE(item->when.nsec <= INSTANT_NSEC_MAX);
	add(s, item->key, sizeof(item->key));
	add(s, item->id, sizeof(item->id));
	s->sum += item->size + (uint64_t)item->when.sec;
	if (s->n != s->end_at)
		return 0;
	return s->end_with < 0 ? err_set(e, ERR_BUSY, "enough") : s->end_with;
}

typedef int list_call(const void *xml, size_t n, s3_visit *v, void *arg,
		      struct s3_page *ret_page, struct err *e);

/* Ended at the last item, the list is still one, and the page is not told. */
static void end_it(list_call *call, const uint8_t *xml, size_t n,
		   struct seen whole, int with)
{
	struct seen s = { .end_at = whole.n,
			  .end_with = with,
			  .ids = whole.ids };
	struct s3_page page;
	struct s3_page before;
	struct err e;

	memset(&page, 0xa5, sizeof(page));
	memcpy(&before, &page, sizeof(page));
	FUZZ_PROMISE(call(xml, n, visit, &s, &page, &e) == with);
	FUZZ_PROMISE(with > 0 || e.code == ERR_BUSY);
	FUZZ_PROMISE(s.n == whole.n && s.sum == whole.sum);
	FUZZ_PROMISE(memcmp(&page, &before, sizeof(page)) == 0);
}

static void check_list(list_call *call, const uint8_t *xml, size_t n, bool ids)
{
	struct seen s = { .ids = ids };
	struct s3_page page;
	struct s3_page before;
	struct err e;
	int r;

	memset(&page, 0xa5, sizeof(page));
	memcpy(&before, &page, sizeof(page));
	r = call(xml, n, visit, &s, &page, &e);
	if (r < 0) {
		FUZZ_PROMISE(e.code == ERR_CORRUPT && s.n == 0);
		FUZZ_PROMISE(memcmp(&page, &before, sizeof(page)) == 0);
		return;
	}
	FUZZ_PROMISE(r == 0);
	FUZZ_PROMISE(page.more == (page.token[0] != '\0'));
	FUZZ_PROMISE(page.more || !page.id_marker[0]);
	add(&s, page.token, sizeof(page.token));
	s.sum = 0;
	s.n = 0;
	FUZZ_PROMISE(call(xml, n, visit, &s, &page, &e) == 0);
	if (s.n) {
		end_it(call, xml, n, s, 1);
		end_it(call, xml, n, s, -1);
	}
}

static void check_printable(const char *text, size_t room)
{
	const size_t n = strnlen(text, room);

	FUZZ_PROMISE(n < room);
	for (size_t i = 0; i < n; i++)
		FUZZ_PROMISE(text[i] >= ' ' && text[i] <= '~');
}

static void check_error(const uint8_t *xml, size_t n)
{
	struct s3_error x;

	if (!s3_xml_error(xml, n, &x))
		return;
	FUZZ_PROMISE(x.code[0]);
	check_printable(x.code, sizeof(x.code));
	check_printable(x.message, sizeof(x.message));
	check_printable(x.request, sizeof(x.request));
	check_printable(x.region, sizeof(x.region));
	check_printable(x.endpoint, sizeof(x.endpoint));
}

static void check_text(const uint8_t *xml, size_t n, const char *root,
		       const char *path)
{
	char out[64];
	struct err e;

	memset(out, 0xa5, sizeof(out));
	if (s3_xml_text(xml, n, root, path, out, sizeof(out), &e) == 0) {
		FUZZ_PROMISE(out[0] && strnlen(out, sizeof(out)) < sizeof(out));
		return;
	}
	FUZZ_PROMISE(e.code == ERR_CORRUPT);
	for (size_t i = 0; i < sizeof(out); i++)
		FUZZ_PROMISE(!out[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	check_list(s3_xml_list, bytes, n, false);
	check_list(s3_xml_uploads, bytes, n, true);
	check_list(s3_xml_versions, bytes, n, true);
	check_error(bytes, n);
	check_text(bytes, n, "InitiateMultipartUploadResult", "UploadId");
	check_text(bytes, n, "AssumeRoleWithWebIdentityResponse",
		   "AssumeRoleWithWebIdentityResult/Credentials/SessionToken");
	return 0;
}
