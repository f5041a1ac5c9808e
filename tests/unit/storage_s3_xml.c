#include "storage/stores/s3_xml.h"

#include <string.h>

#include "base/buf.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/check_main.h"

#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define HEAD  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define LIST  "<ListBucketResult " XMLNS ">"
#define END   "</ListBucketResult>"
#define WHOLE "<IsTruncated>false</IsTruncated>"
#define URL   "<EncodingType>url</EncodingType>"

static struct err e;

/* What was visited, as "KEY=SIZE@SECONDS " or "KEY#UPLOAD@SECONDS ". */
struct seen {
	struct buf text;
	unsigned int n;
	unsigned int end_after; /* 0: never */
	unsigned int fail_after;
	bool sizes; /* "KEY#VERSION=SIZE@SECONDS "; "-KEY#VERSION@SECONDS " */
};

static int note(void *arg, const struct s3_item *item, struct err *err)
{
	struct seen *s = arg;
	const long long when = item->when.sec;

	s->n++;
	if (item->deletion)
		ck_ok(buf_addf(&s->text, &e, "-%s#%s@%lld ", item->key,
			       item->id, when));
	else if (item->id[0] && s->sizes)
		ck_ok(buf_addf(&s->text, &e, "%s#%s=%llu@%lld ", item->key,
			       item->id, (unsigned long long)item->size, when));
	else if (item->id[0])
		ck_ok(buf_addf(&s->text, &e, "%s#%s@%lld ", item->key, item->id,
			       when));
	else
		ck_ok(buf_addf(&s->text, &e, "%s=%llu@%lld ", item->key,
			       (unsigned long long)item->size, when));
	if (s->n == s->fail_after)
		return err_set(err, ERR_BUSY, "the visitor gave up");
	return s->n == s->end_after;
}

typedef int list_call(const void *xml, size_t n, s3_visit *visit, void *arg,
		      struct s3_page *ret_page, struct err *err);

static void expect(list_call *call, const char *xml, const char *items,
		   const struct s3_page *page)
{
	struct seen s = { .sizes = call == s3_xml_versions };
	struct s3_page got;

	memset(&got, 0xa5, sizeof(got));
	buf_init(&s.text, 100000);
	if (call(xml, strlen(xml), note, &s, &got, &e) != 0)
		ck_abort_msg("%s: %s", xml, e.text);
	ck_assert_str_eq(buf_str(&s.text), items);
	ck_assert(got.more == page->more);
	ck_assert_str_eq(got.token, page->token);
	ck_assert_str_eq(got.id_marker, page->id_marker);
	buf_done(&s.text);
}

/* Refused as corrupt, before anything was visited or written. */
static void refuse_bytes(list_call *call, const void *xml, size_t n)
{
	struct seen s = { .n = 0 };
	struct s3_page page;
	struct s3_page before;

	memset(&page, 0xa5, sizeof(page));
	memcpy(&before, &page, sizeof(page));
	buf_init(&s.text, 100000);
	e.code = ERR_NONE;
	if (call(xml, n, note, &s, &page, &e) != -1)
		ck_abort_msg("%.*s is taken", (int)n, (const char *)xml);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.text, "list makes no sense: "));
	ck_assert_uint_eq(s.n, 0);
	ck_assert_mem_eq(&page, &before, sizeof(page));
	buf_done(&s.text);
}

static void refuse(const char *xml, const char *text)
{
	refuse_bytes(s3_xml_list, xml, strlen(xml));
	if (!strstr(e.text, text))
		ck_abort_msg("%s: %s", xml, e.text);
}

static const struct s3_page last;

/* --- Lists -----------------------------------------------------------------
 */

/* With all that Amazon tells beside what is asked. */
static const char amazon[] = HEAD LIST
	"<Name>backups</Name><Prefix>eu/</Prefix>"
	"<NextContinuationToken>1u+/==</NextContinuationToken>"
	"<KeyCount>2</KeyCount><MaxKeys>2</MaxKeys>" URL
	"<IsTruncated>true</IsTruncated>"
	"<Contents><Key>eu/a+b%2Bc</Key>"
	"<LastModified>2009-10-12T17:50:30.000Z</LastModified>"
	"<ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag>"
	"<ChecksumAlgorithm>SHA256</ChecksumAlgorithm>"
	"<Size>434234</Size><StorageClass>STANDARD</StorageClass>"
	"<Owner><ID>75aa57</ID><Key>not this one</Key></Owner></Contents>"
	"<Contents><Key>eu/%C3%A9%0A</Key>"
	"<LastModified>1970-01-01T00:00:09.5Z</LastModified>"
	"<Size>0</Size></Contents>"
	"<CommonPrefixes><Prefix>eu/x/</Prefix></CommonPrefixes>" END;

static const struct s3_page amazon_page = { true, "1u+/==", "" };

START_TEST(reads_a_list_as_amazon_sends_it)
{
	expect(s3_xml_list, amazon,
	       "eu/a b+c=434234@1255369830 eu/\xc3\xa9\n=0@9 ", &amazon_page);
	/* A mark of the byte order, which says UTF-8. */
	expect(s3_xml_list, "\xef\xbb\xbf" LIST WHOLE END, "", &last);
	expect(s3_xml_list, "<?xml version='1.0'?><ListBucketResult>" WHOLE END,
	       "", &last);
}
END_TEST

START_TEST(keys_are_decoded_only_where_they_are_encoded)
{
	/* Said behind them. */
	expect(s3_xml_list,
	       LIST
	       "<Contents><Key>a+%41</Key><Size>1</Size></Contents>" WHOLE URL
		       END,
	       "a A=1@0 ", &last);
	/* Never said: the server did not understand that it was asked to. */
	expect(s3_xml_list,
	       LIST "<Contents><Key>a+%41&amp;&#x20;%</Key><Size>1</Size>"
		    "</Contents>" WHOLE END,
	       "a+%41& %=1@0 ", &last);
}
END_TEST

START_TEST(a_token_counts_only_when_there_is_more)
{
	struct s3_page page = { .more = false, .token = "" };

	expect(s3_xml_list,
	       LIST WHOLE
	       "<NextContinuationToken>x</NextContinuationToken>" END,
	       "", &page);
	expect(s3_xml_list, LIST WHOLE "<NextContinuationToken/>" END, "",
	       &page);
	/* Tokens are not encoded, whatever keys are. */
	page = (struct s3_page){ true, "a+%41", "" };
	expect(s3_xml_list,
	       LIST URL
	       "<IsTruncated>true</IsTruncated>"
	       "<NextContinuationToken>a+%41</NextContinuationToken>" END,
	       "", &page);
}
END_TEST

#define ITEM(inside) LIST WHOLE "<Contents>" inside "</Contents>" END
#define KEY	     "<Key>k</Key>"
#define SIZE	     "<Size>1</Size>"

START_TEST(a_list_that_lacks_something_is_no_empty_list)
{
	refuse("", "");
	refuse(" ", "");
	refuse("{}", "");
	refuse(LIST END, "IsTruncated is missing");
	refuse(LIST "<IsTruncated/>" END, "neither true nor false");
	refuse(LIST "<IsTruncated>no</IsTruncated>" END, "neither");
	refuse(LIST "<IsTruncated> true</IsTruncated>" END, "neither");
	refuse(LIST WHOLE WHOLE END, "twice");
	refuse(LIST "<IsTruncated><a/>false</IsTruncated>" END, "no text");
	refuse(LIST "<IsTruncated>true</IsTruncated>" END, "how to go on");
	refuse(LIST "<IsTruncated>true</IsTruncated>"
		    "<NextContinuationToken/>" END,
	       "how to go on");
	refuse("<a>" LIST WHOLE END "</a>", "it is a \"a\"");
	refuse("<ListMultipartUploadsResult>" WHOLE
	       "</ListMultipartUploadsResult>",
	       "instead of a ListBucketResult");
	refuse("<Error><Code>NoSuchBucket</Code></Error>", "it is a \"Error\"");
	refuse(LIST "<a>" WHOLE "</a>" END, "IsTruncated is missing");
	refuse(LIST WHOLE "<Contents/>" END, "something is missing");
	refuse(ITEM(KEY), "something is missing");
	refuse(ITEM(SIZE), "something is missing");
	/* What one item has is not the next one's. */
	refuse(LIST WHOLE "<Contents>" KEY SIZE "</Contents>"
			  "<Contents>" KEY "</Contents>" END,
	       "something is missing");
	refuse(ITEM(KEY KEY SIZE), "twice");
	refuse(ITEM(KEY SIZE SIZE), "twice");
	refuse(ITEM("<Key><b/></Key>" SIZE), "no text");
	refuse(ITEM(KEY "<Size>-1</Size>"), "no size");
	refuse(ITEM(KEY "<Size></Size>"), "no size");
	refuse(ITEM(KEY "<Size>1 </Size>"), "no size");
	refuse(ITEM(KEY "<Size>9223372036854775808</Size>"), "no size");
	refuse(ITEM(KEY SIZE "<LastModified>now</LastModified>"), "no time");
	refuse(ITEM("<Key></Key>" SIZE), "a key is none");
}
END_TEST

START_TEST(a_key_that_cannot_be_is_refused)
{
#define ENCODED(key) \
	ITEM("<Key>x</Key>" SIZE "</Contents>" URL "<Contents>" key SIZE)
	refuse(ENCODED("<Key>%00</Key>"), "a key is none");
	refuse(ENCODED("<Key>a%</Key>"), "a key is none");
	refuse(ENCODED("<Key>a%4x</Key>"), "a key is none");
	refuse(ENCODED("<Key/>"), "a key is none");
	refuse(LIST WHOLE "<EncodingType>base64</EncodingType>" END,
	       "in an encoding");
	refuse(LIST WHOLE "<EncodingType/>" END, "in an encoding");
}
END_TEST

START_TEST(a_list_that_is_cut_anywhere_is_refused_unseen)
{
	for (size_t n = 0; n < sizeof(amazon) - 1; n++)
		refuse_bytes(s3_xml_list, amazon, n);
}
END_TEST

START_TEST(what_is_no_plain_xml_is_refused)
{
	static const char utf16[] = "\xfe\xff\0<\0L\0/\0>";
	static const char utf16_le[] = "<\0L\0/\0>\0";

	refuse("<!DOCTYPE ListBucketResult>" LIST WHOLE END, "document type");
	refuse("<!DOCTYPE a [<!ENTITY b \"bbbb\">"
	       "<!ENTITY c \"&b;&b;&b;\">]>" LIST WHOLE "<Name>&c;</Name>" END,
	       "document type");
	refuse("<!DOCTYPE a SYSTEM \"file:///etc/passwd\">" LIST WHOLE END,
	       "document type");
	refuse(LIST WHOLE "<Name>&b;</Name>" END, "undefined entity");
	refuse("<?xml version='1.0' encoding='ISO-8859-1'?>" LIST WHOLE END,
	       "its encoding is \"ISO-8859-1\"");
	refuse("<?xml version='1.0' encoding='UTF-16'?>" LIST WHOLE END,
	       "its encoding is");
	refuse_bytes(s3_xml_list, utf16, sizeof(utf16) - 1);
	ck_assert_ptr_nonnull(strstr(e.text, "no UTF-8"));
	refuse_bytes(s3_xml_list, utf16_le, sizeof(utf16_le) - 1);
	ck_assert_ptr_nonnull(strstr(e.text, "no UTF-8"));
	refuse(LIST WHOLE "<Name>\xff</Name>" END, "(line 1)");
	refuse(LIST WHOLE "<Name>\x01</Name>" END, "(line 1)");
	refuse(LIST WHOLE "\n\n<a></b>" END, "mismatched tag (line 3)");
	refuse(LIST WHOLE END "<a/>", "junk after");
	refuse(LIST WHOLE END LIST WHOLE END, "junk after");
}
END_TEST

/* --- Ceilings --------------------------------------------------------------
 */

/* LIST, then n times piece, then tail. */
static void repeat(struct buf *b, const char *piece, size_t n, const char *tail)
{
	buf_done(b);
	buf_init(b, 10 << 20);
	ck_ok(buf_add_str(b, LIST, &e));
	for (size_t i = 0; i < n; i++)
		ck_ok(buf_add_str(b, piece, &e));
	ck_ok(buf_add_str(b, tail, &e));
}

static void expect_taken(const struct buf *b, unsigned int items)
{
	struct seen s = { .n = 0 };
	struct s3_page page;

	buf_init(&s.text, 1 << 20);
	ck_ok(s3_xml_list(b->data, b->len, note, &s, &page, &e));
	ck_assert_uint_eq(s.n, items);
	buf_done(&s.text);
}

START_TEST(no_more_items_than_anybody_sends)
{
	static const char item[] = "<Contents>" KEY SIZE "</Contents>";
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1);
	repeat(&b, item, 10000, WHOLE END);
	expect_taken(&b, 10000);
	repeat(&b, item, 10001, WHOLE END);
	refuse_bytes(s3_xml_list, b.data, b.len);
	ck_assert_ptr_nonnull(strstr(e.text, "more was sent"));
}
END_TEST

START_TEST(no_key_longer_than_any)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1);
	repeat(&b, "", 0, "<Contents><Key>");
	for (size_t i = 0; i < S3_KEY_MAX; i++)
		ck_ok(buf_add_str(&b, "%41", &e));
	ck_ok(buf_add_str(&b, "</Key>" SIZE "</Contents>" URL WHOLE END, &e));
	expect_taken(&b, 1);
	repeat(&b, "", 0, "<Contents><Key>%41");
	for (size_t i = 0; i < S3_KEY_MAX; i++)
		ck_ok(buf_add_str(&b, "%41", &e));
	ck_ok(buf_add_str(&b, "</Key>" SIZE "</Contents>" URL WHOLE END, &e));
	refuse_bytes(s3_xml_list, b.data, b.len);
	ck_assert_ptr_nonnull(strstr(e.text, "a key is none"));
}
END_TEST

START_TEST(no_nesting_deeper_than_sixteen)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1);
	for (size_t depth = 15; depth <= 16; depth++) {
		repeat(&b, "<a>", depth, "");
		for (size_t i = 0; i < depth; i++)
			ck_ok(buf_add_str(&b, "</a>", &e));
		ck_ok(buf_add_str(&b, WHOLE END, &e));
		if (depth == 15)
			expect_taken(&b, 0);
		else
			refuse_bytes(s3_xml_list, b.data, b.len);
	}
	ck_assert_ptr_nonnull(strstr(e.text, "nested too deeply"));
	repeat(&b, "<", 1, "");
	for (size_t i = 0; i < 65; i++)
		ck_ok(buf_add_byte(&b, 'a', &e));
	ck_ok(buf_add_str(&b, "/>" WHOLE END, &e));
	refuse_bytes(s3_xml_list, b.data, b.len);
	ck_assert_ptr_nonnull(strstr(e.text, "names that are too long"));
}
END_TEST

START_TEST(no_text_longer_than_its_ceiling)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1);
	repeat(&b, "<Name>", 1, "");
	for (size_t i = 0; i < 16 << 10; i++)
		ck_ok(buf_add_byte(&b, 'a', &e));
	ck_ok(buf_add_str(&b, "</Name>" WHOLE END, &e));
	expect_taken(&b, 0);
	repeat(&b, "<Name>&#97;", 1, "");
	for (size_t i = 0; i < 16 << 10; i++)
		ck_ok(buf_add_byte(&b, 'a', &e));
	ck_ok(buf_add_str(&b, "</Name>" WHOLE END, &e));
	refuse_bytes(s3_xml_list, b.data, b.len);
	ck_assert_ptr_nonnull(strstr(e.text, "longer than 16384 bytes"));
	/* What lies between elements is no text. */
	repeat(&b, WHOLE, 1, "");
	for (size_t i = 0; i < 20000; i++)
		ck_ok(buf_add_byte(&b, ' ', &e));
	ck_ok(buf_add_str(&b, END, &e));
	expect_taken(&b, 0);
}
END_TEST

static void expect_token(size_t n, bool fits)
{
	CLEANUP(buf_done) struct buf b;

	buf_init(&b, 1);
	repeat(&b, "<IsTruncated>true</IsTruncated><NextContinuationToken>", 1,
	       "");
	for (size_t i = 0; i < n; i++)
		ck_ok(buf_add_byte(&b, 't', &e));
	ck_ok(buf_add_str(&b, "</NextContinuationToken>" END, &e));
	if (fits)
		expect_taken(&b, 0);
	else
		refuse_bytes(s3_xml_list, b.data, b.len);
}

START_TEST(no_token_longer_than_its_room)
{
	expect_token(S3_TOKEN_MAX, true);
	expect_token(S3_TOKEN_MAX + 1, false);
	expect_token(3 * S3_TOKEN_MAX, false);
	expect_token(3 * S3_TOKEN_MAX + 1, false);
}
END_TEST

/* --- Visitors --------------------------------------------------------------
 */

START_TEST(a_visitor_ends_or_fails_the_list)
{
	static const char xml[] = LIST
		"<Contents><Key>a</Key>" SIZE "</Contents>"
		"<Contents><Key>b</Key>" SIZE "</Contents>"
		"<Contents><Key>c</Key>" SIZE "</Contents>" WHOLE END;
	struct s3_page page;
	struct s3_page before;
	struct seen s = { .end_after = 2 };

	memset(&page, 0xa5, sizeof(page));
	memcpy(&before, &page, sizeof(page));
	buf_init(&s.text, 1000);
	ck_assert_int_eq(s3_xml_list(xml, sizeof(xml) - 1, note, &s, &page, &e),
			 1);
	ck_assert_uint_eq(s.n, 2);
	s = (struct seen){ .fail_after = 2, .text = s.text };
	ck_assert_int_eq(s3_xml_list(xml, sizeof(xml) - 1, note, &s, &page, &e),
			 -1);
	ck_assert_uint_eq(s.n, 2);
	ck_assert_int_eq(e.code, ERR_BUSY);
	ck_assert_str_eq(e.text, "the visitor gave up");
	ck_assert_mem_eq(&page, &before, sizeof(page));
	/* The last one may end it, too. */
	s = (struct seen){ .end_after = 3, .text = s.text };
	ck_assert_int_eq(s3_xml_list(xml, sizeof(xml) - 1, note, &s, &page, &e),
			 1);
	buf_done(&s.text);
}
END_TEST

static int count(void *arg, const struct s3_item *item, struct err *err)
{
	unsigned int *n = arg;

	(void)item;
	(void)err;
	++*n;
	return 0;
}

static int read_once(void *arg, struct err *err)
{
	unsigned int *visits = arg;
	struct s3_page page;
	int r;

	*visits = 0;
	r = s3_xml_list(amazon, sizeof(amazon) - 1, count, visits, &page, err);
	if (r < 0)
		ck_assert_str_eq(err->text, "out of memory");
	return r;
}

/* libexpat's own allocations are among them. */
START_TEST(survives_each_failing_allocation)
{
	unsigned int visits = 0;

	ck_assert_uint_gt(alloc_fail_each(read_once, &visits), 20);
	ck_assert_uint_eq(visits, 2);
}
END_TEST

/* --- Uploads ----------------------------------------------------------------
 */

#define UPLOADS	    "<ListMultipartUploadsResult " XMLNS ">"
#define UPLOADS_END "</ListMultipartUploadsResult>"

START_TEST(reads_lists_of_uploads)
{
	static const char xml[] = HEAD UPLOADS
		"<Bucket>backups</Bucket><KeyMarker/><UploadIdMarker/>"
		"<NextKeyMarker>a+%2B</NextKeyMarker>"
		"<NextUploadIdMarker>YW+%41</NextUploadIdMarker>"
		"<EncodingType>url</EncodingType><MaxUploads>2</MaxUploads>"
		"<IsTruncated>true</IsTruncated>"
		"<Upload><Key>a%2Fb</Key><UploadId>XMgb+%41</UploadId>"
		"<Initiator><ID>arn</ID></Initiator>"
		"<StorageClass>STANDARD</StorageClass>"
		"<Initiated>1970-01-01T00:01:00.000Z</Initiated></Upload>"
		"<Upload><Key>c</Key><UploadId>2</UploadId>"
		"<Initiated>1970-01-01T00:00:01Z</Initiated></Upload>" UPLOADS_END;
	static const struct s3_page page = { true, "a +", "YW+%41" };
	static const struct s3_page no_marker = { true, "a", "" };

	expect(s3_xml_uploads, xml, "a/b#XMgb+%41@60 c#2@1 ", &page);
	expect(s3_xml_uploads, UPLOADS WHOLE UPLOADS_END, "", &last);
	expect(s3_xml_uploads,
	       UPLOADS "<IsTruncated>true</IsTruncated>"
		       "<NextKeyMarker>a</NextKeyMarker>" UPLOADS_END,
	       "", &no_marker);
	expect(s3_xml_uploads,
	       UPLOADS WHOLE
	       "<NextKeyMarker>a</NextKeyMarker>"
	       "<NextUploadIdMarker>b</NextUploadIdMarker>" UPLOADS_END,
	       "", &last);
	for (size_t n = 0; n < sizeof(xml) - 1; n++)
		refuse_bytes(s3_xml_uploads, xml, n);
}
END_TEST

START_TEST(an_upload_that_lacks_something_is_refused)
{
	static const char *const lists[] = {
		UPLOADS "<IsTruncated>true</IsTruncated>" UPLOADS_END,
		UPLOADS WHOLE "<Upload><Key>a</Key><UploadId>b</UploadId>"
			      "</Upload>" UPLOADS_END,
		UPLOADS WHOLE "<Upload><Key>a</Key>"
			      "<Initiated>1970-01-01T00:00:01Z</Initiated>"
			      "</Upload>" UPLOADS_END,
		UPLOADS WHOLE "<Upload><UploadId>b</UploadId>"
			      "<Initiated>1970-01-01T00:00:01Z</Initiated>"
			      "</Upload>" UPLOADS_END,
		UPLOADS WHOLE "<Upload><Key>a</Key><UploadId/>"
			      "<Initiated>1970-01-01T00:00:01Z</Initiated>"
			      "</Upload>" UPLOADS_END,
		LIST WHOLE END,
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		refuse_bytes(s3_xml_uploads, lists[i], strlen(lists[i]));
}
END_TEST

/* --- Versions ---------------------------------------------------------------
 */

#define VERSIONS     "<ListVersionsResult " XMLNS ">"
#define VERSIONS_END "</ListVersionsResult>"

START_TEST(reads_lists_of_versions)
{
	static const char xml[] = HEAD VERSIONS
		"<Name>backups</Name><Prefix/><KeyMarker/><VersionIdMarker/>"
		"<NextKeyMarker>a+%2B</NextKeyMarker>"
		"<NextVersionIdMarker>YW+%41</NextVersionIdMarker>"
		"<EncodingType>url</EncodingType><MaxKeys>3</MaxKeys>"
		"<IsTruncated>true</IsTruncated>"
		"<DeleteMarker><Key>a%2Fb</Key><VersionId>3</VersionId>"
		"<IsLatest>true</IsLatest>"
		"<LastModified>1970-01-01T00:01:00.000Z</LastModified>"
		"<Owner><ID>75aa57</ID></Owner></DeleteMarker>"
		"<Version><Key>a%2Fb</Key><VersionId>XMgb+%41</VersionId>"
		"<IsLatest>false</IsLatest>"
		"<LastModified>1970-01-01T00:00:09Z</LastModified>"
		"<Size>7</Size></Version>"
		"<Version><Key>c</Key><VersionId>null</VersionId>"
		"<Size>0</Size></Version>" VERSIONS_END;
	static const struct s3_page page = { true, "a +", "YW+%41" };

	expect(s3_xml_versions, xml, "-a/b#3@60 a/b#XMgb+%41=7@9 c#null=0@0 ",
	       &page);
	expect(s3_xml_versions, VERSIONS WHOLE VERSIONS_END, "", &last);
	for (size_t n = 0; n < sizeof(xml) - 1; n++)
		refuse_bytes(s3_xml_versions, xml, n);
}
END_TEST

START_TEST(a_version_that_lacks_something_is_refused)
{
	static const char *const lists[] = {
		VERSIONS "<IsTruncated>true</IsTruncated>" VERSIONS_END,
		VERSIONS WHOLE "<Version><Key>a</Key><VersionId>b</VersionId>"
			       "</Version>" VERSIONS_END,
		VERSIONS WHOLE "<Version><Key>a</Key><Size>1</Size>"
			       "</Version>" VERSIONS_END,
		VERSIONS WHOLE "<Version><Key>a</Key><VersionId/>"
			       "<Size>1</Size></Version>" VERSIONS_END,
		VERSIONS WHOLE "<Version><VersionId>b</VersionId>"
			       "<Size>1</Size></Version>" VERSIONS_END,
		VERSIONS WHOLE "<DeleteMarker><Key>a</Key>"
			       "</DeleteMarker>" VERSIONS_END,
		VERSIONS WHOLE "<DeleteMarker><VersionId>b</VersionId>"
			       "</DeleteMarker>" VERSIONS_END,
		/* Nothing of one item is another's. */
		VERSIONS WHOLE "<DeleteMarker><Key>a</Key>"
			       "<VersionId>b</VersionId></DeleteMarker>"
			       "<Version><Size>1</Size></Version>" VERSIONS_END,
		LIST WHOLE END,
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		refuse_bytes(s3_xml_versions, lists[i], strlen(lists[i]));
}
END_TEST

/* --- Errors ----------------------------------------------------------------
 */

static struct s3_error error_of(const char *xml)
{
	struct s3_error x;

	memset(&x, 0xa5, sizeof(x));
	ck_assert_int_eq(s3_xml_error(xml, strlen(xml), &x), 1);
	return x;
}

static void expect_no_error(const char *xml)
{
	struct s3_error x;
	struct s3_error before;

	memset(&x, 0xa5, sizeof(x));
	memcpy(&before, &x, sizeof(x));
	ck_assert_int_eq(s3_xml_error(xml, strlen(xml), &x), 0);
	ck_assert_mem_eq(&x, &before, sizeof(x));
}

START_TEST(reads_errors)
{
	struct s3_error x;

	x = error_of(HEAD "<Error><Code>PermanentRedirect</Code>"
			  "<Message>Go &lt;there&gt;.</Message>"
			  "<Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint>"
			  "<Region>eu-west-1</Region>"
			  "<RequestId>4442587FB7D0A2F9</RequestId>"
			  "<HostId>x</HostId></Error>");
	ck_assert_str_eq(x.code, "PermanentRedirect");
	ck_assert_str_eq(x.message, "Go <there>.");
	ck_assert_str_eq(x.endpoint, "b.s3-eu-west-1.amazonaws.com");
	ck_assert_str_eq(x.region, "eu-west-1");
	ck_assert_str_eq(x.request, "4442587FB7D0A2F9");
	x = error_of("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/"
		     "2011-06-15/\"><Error><Type>Sender</Type>"
		     "<Code>ExpiredTokenException</Code>"
		     "<Message>Too late</Message></Error>"
		     "<RequestId>1</RequestId></ErrorResponse>");
	ck_assert_str_eq(x.code, "ExpiredTokenException");
	ck_assert_str_eq(x.message, "Too late");
	ck_assert_str_eq(x.request, "1");
	ck_assert_str_eq(x.region, "");
	/* A part of one tells what it tells. */
	x = error_of("<Error><Code>SlowDown</Code><Message>Pleas");
	ck_assert_str_eq(x.code, "SlowDown");
	ck_assert_str_eq(x.message, "");
	/* The first of two. */
	x = error_of("<Error><Code>A</Code><Code>B</Code></Error>");
	ck_assert_str_eq(x.code, "A");
}
END_TEST

START_TEST(what_errors_say_is_fit_for_a_terminal)
{
	struct s3_error x;
	char xml[20000] = "<Error><Code>";
	size_t n = strlen(xml);

	x = error_of("<Error><Code>a\nb\xc3\xa9</Code>"
		     "<Message>&#x9b;2J\x7f</Message></Error>");
	ck_assert_str_eq(x.code, "a?b??");
	ck_assert_str_eq(x.message, "??2J?");
	memset(xml + n, 'c', 17000);
	(void)snprintf(xml + n + 17000, 1000,
		       "</Code><Message>m</Message></Error>");
	x = error_of(xml);
	ck_assert_uint_eq(strlen(x.code), sizeof(x.code) - 1);
	ck_assert_str_eq(x.message, "m");
}
END_TEST

START_TEST(what_is_no_error_is_none)
{
	expect_no_error("");
	expect_no_error("<html><body>502 Bad Gateway</body></html>");
	expect_no_error("<Error/>");
	expect_no_error("<Error><Code/></Error>");
	expect_no_error("<Error><Code><a/>x</Code></Error>");
	expect_no_error("<a><Error><Code>x</Code></Error></a>");
	expect_no_error("<Error><Code>x");
	expect_no_error("<!DOCTYPE a><Error><Code>x</Code></Error>");
	expect_no_error("{\"Code\":\"x\"}");
	expect_no_error(amazon);
}
END_TEST

/* --- Single texts -----------------------------------------------------------
 */

#define STS "AssumeRoleWithWebIdentityResponse"

static const char sts[] =
	"<" STS " xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
	"<AssumeRoleWithWebIdentityResult><Audience>a</Audience><Credentials>"
	"<SessionToken>tok+en/%41==</SessionToken>"
	"<SecretAccessKey>hush</SecretAccessKey><Empty></Empty>"
	"<Twice>1</Twice><Twice>2</Twice></Credentials>"
	"</AssumeRoleWithWebIdentityResult></" STS ">";

static int text_of(const char *root, const char *path, char *out, size_t room)
{
	memset(out, '#', room);
	return s3_xml_text(sts, sizeof(sts) - 1, root, path, out, room, &e);
}

START_TEST(finds_single_texts)
{
	static const char upload[] = HEAD
		"<InitiateMultipartUploadResult " XMLNS ">"
		"<Bucket>b</Bucket><Key>k</Key><UploadId>VXBs</UploadId>"
		"</InitiateMultipartUploadResult>";
	char out[16];

	ck_ok(s3_xml_text(upload, sizeof(upload) - 1,
			  "InitiateMultipartUploadResult", "UploadId", out,
			  sizeof(out), &e));
	ck_assert_str_eq(out, "VXBs");
	ck_ok(text_of(STS,
		      "AssumeRoleWithWebIdentityResult/Credentials/"
		      "SessionToken",
		      out, 14));
	ck_assert_str_eq(out, "tok+en/%41==");
}
END_TEST

static void refuse_text(const char *root, const char *path, size_t room,
			const char *why)
{
	char out[16];
	static const char none[16];

	ck_assert_int_eq(text_of(root, path, out, room), -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_mem_eq(out, none, room);
	if (!strstr(e.text, why))
		ck_abort_msg("%s: %s", path, e.text);
}

#define BELOW "AssumeRoleWithWebIdentityResult/Credentials/"

START_TEST(a_text_that_is_not_there_is_refused)
{
	char out[16];
	static const char none[16];

	refuse_text(STS, "SessionToken", 16, "has no SessionToken");
	refuse_text(STS, "Credentials/SessionToken", 16, "has no");
	refuse_text(STS, BELOW "Empty", 16, "is empty");
	refuse_text(STS, BELOW "Twice", 16, "twice");
	refuse_text(STS, "AssumeRoleWithWebIdentityResult", 16, "is empty");
	refuse_text(STS, BELOW "SessionToken", 12, "too long");
	refuse_text(STS, BELOW "SecretAccessKey", 1, "too long");
	refuse_text("AssumeRoleResponse", BELOW "SessionToken", 16,
		    "instead of a AssumeRoleResponse");
	ck_assert_ptr_null(strstr(e.text, "tok"));
	/* A reply that ends early has said nothing. */
	for (size_t n = 0; n < sizeof(sts) - 1; n++) {
		memset(out, '#', sizeof(out));
		ck_assert_int_eq(s3_xml_text(sts, n, STS,
					     BELOW "SecretAccessKey", out,
					     sizeof(out), &e),
				 -1);
		ck_assert_mem_eq(out, none, sizeof(none));
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, reads_a_list_as_amazon_sends_it);
	tcase_add_test(tc, keys_are_decoded_only_where_they_are_encoded);
	tcase_add_test(tc, a_token_counts_only_when_there_is_more);
	tcase_add_test(tc, a_list_that_lacks_something_is_no_empty_list);
	tcase_add_test(tc, a_key_that_cannot_be_is_refused);
	tcase_add_test(tc, a_list_that_is_cut_anywhere_is_refused_unseen);
	tcase_add_test(tc, what_is_no_plain_xml_is_refused);
	tcase_add_test(tc, no_more_items_than_anybody_sends);
	tcase_add_test(tc, no_key_longer_than_any);
	tcase_add_test(tc, no_nesting_deeper_than_sixteen);
	tcase_add_test(tc, no_text_longer_than_its_ceiling);
	tcase_add_test(tc, no_token_longer_than_its_room);
	tcase_add_test(tc, a_visitor_ends_or_fails_the_list);
	tcase_add_test(tc, survives_each_failing_allocation);
	tcase_add_test(tc, reads_lists_of_versions);
	tcase_add_test(tc, a_version_that_lacks_something_is_refused);
	tcase_add_test(tc, reads_lists_of_uploads);
	tcase_add_test(tc, an_upload_that_lacks_something_is_refused);
	tcase_add_test(tc, reads_errors);
	tcase_add_test(tc, what_errors_say_is_fit_for_a_terminal);
	tcase_add_test(tc, what_is_no_error_is_none);
	tcase_add_test(tc, finds_single_texts);
	tcase_add_test(tc, a_text_that_is_not_there_is_refused);
}

CHECK_MAIN("storage/s3_xml", cases)
