/*
 * Credentials files, as the tools of AWS read them: sections "[NAME]" or
 * "[profile NAME]", in them lines "KEY = VALUE" (or ":"), whose key has no
 * case; lines of comments begin with "#" or ";".  A line that is indented more
 * than the key before it goes on with that key's value, which is how settings
 * have settings of their own ("s3 ="): nothing here needs them.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "storage/stores/s3_credentials_internal.h"

#define SECTION_MAX 128

struct slice {
	const char *p;
	size_t n;
};

/* ---- Lines -------------------------------------------------------------- */

enum line {
	LINE_END,
	LINE_SECTION,  /* name */
	LINE_PROPERTY, /* key, value */
	LINE_GOES_ON,  /* the value of key does */
};

struct lines {
	const char *p;
	const char *end;
	unsigned int number;
	bool in_section;
	bool in_property;
	size_t indent; /* of that */
	struct slice name;
	struct slice key;
	struct slice value;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool is_text(struct slice s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* In a key no case counts. */
static bool is_key(struct slice s, const char *text)
{
	return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

static int at_line(const struct lines *l, const char *what, struct err *e)
{
	return err_set(e, ERR_USAGE, "line %u: %s", l->number, what);
}

/* What is between the brackets: NAME, profile NAME, profile "NAME". */
static int section(struct lines *l, struct slice s, struct err *e)
{
	const char *close = memchr(s.p, ']', s.n);
	struct slice rest;
	struct slice name;

	if (!close)
		return at_line(l, "a section's name has no end (\"]\")", e);
	name = trim((struct slice){ s.p + 1, (size_t)(close - s.p) - 1 });
	rest = trim(
		(struct slice){ close + 1, s.n - (size_t)(close + 1 - s.p) });
	if (rest.n > 0 && rest.p[0] != '#' && rest.p[0] != ';')
		return at_line(l, "something follows a section's name", e);
	if (name.n > 8 && memcmp(name.p, "profile", 7) == 0 &&
	    is_blank(name.p[7]))
		name = trim((struct slice){ name.p + 8, name.n - 8 });
	if (name.n > 1 && (name.p[0] == '"' || name.p[0] == '\'') &&
	    name.p[name.n - 1] == name.p[0])
		name = (struct slice){ name.p + 1, name.n - 2 };
	if (name.n == 0 || name.n >= SECTION_MAX)
		return at_line(l, "a section's name is empty, or too long", e);
	l->name = name;
	l->in_section = true;
	l->in_property = false;
	return LINE_SECTION;
}

static int property(struct lines *l, struct slice s, size_t indent,
		    struct err *e)
{
	size_t at = 0;

	if (!l->in_section)
		return at_line(l, "a section (\"[default]\") must come first",
			       e);
	while (at < s.n && s.p[at] != '=' && s.p[at] != ':')
		at++;
	if (at == s.n)
		return at_line(l, "is no section, and has no \"=\"", e);
	l->key = trim((struct slice){ s.p, at });
	l->value = trim((struct slice){ s.p + at + 1, s.n - at - 1 });
	if (l->key.n == 0)
		return at_line(l, "nothing is before the \"=\"", e);
	l->in_property = true;
	l->indent = indent;
	return LINE_PROPERTY;
}

/* An enum line, or -1. */
static int next_line(struct lines *l, struct err *e)
{
	while (l->p < l->end) {
		const char *newline = memchr(l->p, '\n',
					     (size_t)(l->end - l->p));
		const char *stop = newline ? newline : l->end;
		struct slice whole = { l->p, (size_t)(stop - l->p) };
		struct slice s = trim(whole);
		const size_t indent = (size_t)(s.p - whole.p);

		l->p = newline ? newline + 1 : l->end;
		l->number++;
		if (memchr(whole.p, '\0', whole.n))
			return at_line(l, "holds a byte of zero", e);
		if (s.n == 0 || s.p[0] == '#' || s.p[0] == ';')
			continue;
		if (l->in_property && indent > l->indent)
			return LINE_GOES_ON;
		if (s.p[0] == '[')
			return section(l, s, e);
		return property(l, s, indent, e);
	}
	return LINE_END;
}

/* A mark of UTF-8 at the beginning, as some editors leave, is nothing. */
static struct lines lines_of(const char *text, size_t n)
{
	const size_t mark = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3
									   : 0;

	return (struct lines){ .p = text + mark, .end = text + n };
}

/* ---- Which section ------------------------------------------------------ */

/* [default], else the only one: 1, or 0 when there is none. */
static int find_section(const char *text, size_t n, char name[SECTION_MAX],
			struct err *e)
{
	struct lines l = lines_of(text, n);
	struct slice first = { NULL, 0 };
	bool several = false;
	int r;

	while ((r = next_line(&l, e)) > LINE_END) {
		if (r != LINE_SECTION)
			continue;
		if (is_text(l.name, "default")) {
			first = l.name;
			several = false;
			break;
		}
		if (first.n > 0 && (first.n != l.name.n ||
				    memcmp(first.p, l.name.p, first.n) != 0))
			several = true;
		if (first.n == 0)
			first = l.name;
	}
	if (r < 0)
		return -1;
	if (several) {
		err_put_(e, ERR_USAGE,
			 "it has several sections, none of which is [default]");
		return err_hint(e, "name one: profile=NAME in the region's "
				   "URL");
	}
	(void)snprintf(name, SECTION_MAX, "%.*s", (int)first.n,
		       first.n ? first.p : "");
	return first.n > 0;
}

/* ---- What is in it ------------------------------------------------------ */

enum property {
	ID,
	SECRET,
	TOKEN,
	ROLE, /* from here on: what stands for keys, and is not done here */
	WEB,
	SSO,
	PROCESS,
	OTHER_SOURCE,
	PROPERTIES
};

/* A section, while it is read. */
struct content {
	bool is_there;
	struct slice value[PROPERTIES];
	unsigned int line[PROPERTIES]; /* 0: not there */
};

static const struct {
	const char *key;
	enum property property;
} properties[] = {
	{ "aws_access_key_id", ID },
	{ "aws_secret_access_key", SECRET },
	{ "aws_session_token", TOKEN },
	{ "aws_security_token", TOKEN }, /* its older name */
	{ "role_arn", ROLE },
	{ "web_identity_token_file", WEB },
	{ "sso_session", SSO },
	{ "sso_start_url", SSO },
	{ "sso_account_id", SSO },
	{ "login_session", SSO },
	{ "credential_process", PROCESS },
	{ "source_profile", OTHER_SOURCE },
	{ "credential_source", OTHER_SOURCE },
};

static int property_of(struct slice key)
{
	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
		if (is_key(key, properties[i].key))
			return (int)properties[i].property;
	return PROPERTIES;
}

/* Keys have no blanks: what is after one is a comment. */
static struct slice without_comment(struct slice s)
{
	for (size_t i = 1; i < s.n; i++)
		if ((s.p[i] == '#' || s.p[i] == ';') && is_blank(s.p[i - 1]))
			return trim((struct slice){ s.p, i });
	return s;
}

/* A section that is there twice is one; what comes later counts. */
static int read_section(const char *text, size_t n, const char *name,
			struct content *ret, struct err *e)
{
	struct lines l = lines_of(text, n);
	bool ours = false;
	int last = PROPERTIES;
	int r;

	while ((r = next_line(&l, e)) > LINE_END) {
		if (r == LINE_SECTION) {
			ours = is_text(l.name, name);
			ret->is_there = ret->is_there || ours;
		}
		if (!ours || r == LINE_SECTION)
			continue;
		if (r == LINE_PROPERTY)
			last = property_of(l.key);
		/* Half of a secret would only be refused by the server. */
		if (r == LINE_GOES_ON && last <= TOKEN)
			return at_line(&l, "a key must be on one line", e);
		if (r == LINE_GOES_ON || last == PROPERTIES)
			continue;
		ret->value[last] = without_comment(l.value);
		ret->line[last] = l.number;
	}
	return r;
}

/* As AWS's tools have it: a role or a sign-on goes before keys, a program and
 * another profile count when there are none. */
static int refuse_others(const struct content *c, struct err *e)
{
	static const struct {
		enum property property;
		const char *what;
		const char *hint;
	} others[] = {
		{ ROLE, "a role (role_arn) is not taken on here",
		  "write the keys that `aws configure export-credentials` "
		  "prints into a section, or set AWS_ROLE_ARN and "
		  "AWS_WEB_IDENTITY_TOKEN_FILE" },
		{ WEB, "an identity's token is not taken from here",
		  "set AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE" },
		{ SSO, "single sign-on (sso_…) is not supported",
		  "write the keys that `aws configure export-credentials` "
		  "prints into a section of their own" },
		{ PROCESS, "programs (credential_process) are not run",
		  "have a timer write what it prints into a section of its "
		  "own: the file is read again when it changes" },
		{ OTHER_SOURCE, "keys from another profile are not supported",
		  "name the profile that has them: profile=NAME in the "
		  "region's URL" },
	};
	const bool has_keys = c->line[ID] && c->line[SECRET];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		const enum property p = others[i].property;

		if (!c->line[p] || (has_keys && p >= PROCESS))
			continue;
		err_put_(e, ERR_USAGE, "line %u: %s", c->line[p],
			 others[i].what);
		return err_hint(e, "%s", others[i].hint);
	}
	return 0;
}

static int take(const struct content *c, enum property p, const char *what,
		char *out, size_t room, struct err *e)
{
	char where[64];

	(void)snprintf(where, sizeof(where), "line %u: %s", c->line[p], what);
	return s3_credentials_take(where, c->value[p].p, c->value[p].n, out,
				   room, e);
}

static int take_keys(const struct content *c, struct s3_keys *keys,
		     struct err *e)
{
	if (!c->line[ID] || !c->line[SECRET])
		return err_set(e, ERR_USAGE, "line %u: there is no %s with it",
			       c->line[ID]	 ? c->line[ID]
			       : c->line[SECRET] ? c->line[SECRET]
						 : c->line[TOKEN],
			       c->line[ID] ? "aws_secret_access_key"
					   : "aws_access_key_id");
	if (take(c, ID, "aws_access_key_id", keys->id, sizeof(keys->id), e) ||
	    take(c, SECRET, "aws_secret_access_key", keys->secret,
		 sizeof(keys->secret), e))
		return -1;
	/* A token that is there and empty is none. */
	if (!c->line[TOKEN] || c->value[TOKEN].n == 0)
		return 0;
	return take(c, TOKEN, "aws_session_token", keys->token,
		    sizeof(keys->token), e);
}

int s3_credentials_parse(const char *text, size_t n, const char *profile,
			 struct s3_keys *keys, char ret_section[SECTION_MAX],
			 struct err *e)
{
	struct content c = { .is_there = false };
	int r;

	if (profile)
		(void)snprintf(ret_section, SECTION_MAX, "%s", profile);
	else if ((r = find_section(text, n, ret_section, e)) <= 0)
		return r;
	/* Both are looked at to their end: a broken line is always told. */
	if (read_section(text, n, ret_section, &c, e) < 0)
		return -1;
	if (!c.is_there)
		return 0;
	if (refuse_others(&c, e))
		return -1;
	if (!c.line[ID] && !c.line[SECRET] && !c.line[TOKEN])
		return 0;
	return take_keys(&c, keys, e) ? -1 : 1;
}

/* ---- The file ----------------------------------------------------------- */

static void stamp_of(const struct stat *st, struct s3_credentials_stamp *ret)
{
	*ret = (struct s3_credentials_stamp){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = st->st_size,
		.modified = st->st_mtim,
		.changed = st->st_ctim,
	};
}

void s3_credentials_stamp(const char *path, struct s3_credentials_stamp *ret)
{
	struct stat st;

	*ret = (struct s3_credentials_stamp){ .inode = 0 };
	if (stat(path, &st) == 0)
		stamp_of(&st, ret);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool s3_credentials_same_stamp(const struct s3_credentials_stamp *a,
			       const struct s3_credentials_stamp *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && same_time(a->modified, b->modified) &&
	       same_time(a->changed, b->changed);
}

static int home(char *out, size_t room)
{
	const char *set = s3_credentials_variable("HOME");
	struct passwd *found = NULL;
	struct passwd entry;
	char texts[4096];

	/* Services of the system are often started without it. */
	if (!set &&
	    getpwuid_r(geteuid(), &entry, texts, sizeof(texts), &found) == 0 &&
	    found)
		set = entry.pw_dir;
	return set && (size_t)snprintf(out, room, "%s", set) < room ? 0 : -1;
}

int s3_credentials_shared_path(char *out, size_t room)
{
	const char *set = s3_credentials_variable(
		"AWS_SHARED_CREDENTIALS_FILE");
	char at[3072];

	if (set && strncmp(set, "~/", 2) != 0)
		return (size_t)snprintf(out, room, "%s", set) < room ? 0 : -1;
	if (home(at, sizeof(at)))
		return -1;
	return (size_t)snprintf(out, room, "%s/%s", at,
				set ? set + 2 : ".aws/credentials") < room
		       ? 0
		       : -1;
}

/* Everyone who can read the keys can do what they allow. */
static int check_private(const struct stat *st, const char *path, struct err *e)
{
	if ((st->st_mode & 077) == 0)
		return 0;
	err_put_(e, ERR_DENIED, "others may read it (mode %04o)",
		 (unsigned int)st->st_mode & 07777);
	return err_hint(e, "chmod 600 %s", path);
}

/*
 * Symbolic links are followed: what Kubernetes puts into a container is
 * reached through two.  What is no file (a pipe) cannot be read again.
 */
static int read_file(const char *path, bool own, struct buf *out,
		     struct s3_credentials_stamp *ret_stamp, struct err *e)
{
	CLEANUP(file_close)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ERR_NOT_FOUND, "there is no such file");
	if (fd < 0)
		return err_sys(e, "cannot open it");
	if (fstat(fd, &st))
		return err_sys(e, "cannot examine it");
	if (ret_stamp)
		stamp_of(&st, ret_stamp);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "it is no regular file");
	if (own && check_private(&st, path, e))
		return -1;
	if (buf_reserve(out, out->max, e))
		return -1;
	n = file_read(fd, out->data, out->max);
	if (n < 0)
		return err_sys(e, "cannot read it");
	if ((size_t)n == out->max)
		return err_set(e, ERR_USAGE, "it is %zu bytes or larger",
			       out->max);
	out->len = (size_t)n;
	out->data[n] = 0;
	return 0;
}

static int parse_file(const char *path, const char *profile, bool own,
		      const struct buf *text, struct s3_credentials_got *ret,
		      struct err *e)
{
	const char *name = profile[0] ? profile : own ? NULL : "default";
	char section_name[SECTION_MAX] = "";
	const int r = s3_credentials_parse(buf_str(text), text->len, name,
					   ret->keys, section_name, e);

	if (r > 0)
		(void)snprintf(ret->origin, sizeof(ret->origin),
			       "the profile %.100s of %.130s",
			       text_quote_str(section_name).s,
			       text_quote_str(path).s);
	if (r == 0 && profile[0])
		return err_set(e, ERR_USAGE,
			       "there are no keys of a profile %s",
			       text_quote_str(profile).s);
	if (r == 0 && own)
		return err_set(e, ERR_USAGE, "there are no keys in it");
	return r;
}

int s3_credentials_from_file(const char *path, const char *profile, bool own,
			     struct s3_credentials_got *ret, struct err *e)
{
	CLEANUP(buf_wipe) struct buf text;
	int r = -1;

	buf_init(&text, S3_CREDENTIALS_FILE_MAX);
	s3_credentials_stamp(path, &ret->stamp);
	if (read_file(path, own, &text, &ret->stamp, e) == 0)
		r = parse_file(path, profile, own, &text, ret, e);
	else if (e->code == ERR_NOT_FOUND && !own && !profile[0])
		r = 0;
	if (r < 0)
		return err_wrap(e, "cannot use credentials file %s",
				text_quote_str(path).s);
	return r;
}

int s3_credentials_token_file(const char *path, struct buf *out, struct err *e)
{
	if (read_file(path, false, out, NULL, e))
		return err_wrap(e, "cannot use token file %s",
				text_quote_str(path).s);
	/* An editor's last newline; any other is not text of a header. */
	if (out->len > 0 && out->data[out->len - 1] == '\n')
		out->len--;
	if (out->len > 0 && out->data[out->len - 1] == '\r')
		out->len--;
	for (size_t i = 0; i < out->len; i++)
		if (out->data[i] < 0x21 || out->data[i] > 0x7e)
			return err_set(e, ERR_USAGE,
				       "token file %s holds more than a token "
				       "(byte %zu)",
				       text_quote_str(path).s, i + 1);
	if (out->len == 0)
		return err_set(e, ERR_USAGE, "token file %s is empty",
			       text_quote_str(path).s);
	out->data[out->len] = 0;
	return 0;
}
