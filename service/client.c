#include "service/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "service/jsontree.h"

/* A request is at most a manifest; a failure is a sentence. */
#define REQUEST_MAX ((size_t)64 << 20)
#define FAILURE_MAX ((size_t)64 << 10)

/* When no byte came or went for so long the daemon is asked whether it lives;
 * a busy machine may take its time over that answer. */
enum { STALL_MS = 10000, ALIVE_MS = 20000 };

struct answer {
	const struct client_call *call;
	CURL *curl;
	struct buf failure; /* the body, when the status is no success */
	struct err broken;  /* the sink failed */
	bool ours;	    /* it named its version: it is a snapctld */
	curl_off_t moved;   /* bytes there and back */
	int64_t moved_ms;   /* boot time of the last of them, or 0 */
	char version[32];
	enum operation_outcome outcome;
};

/* ---- The request -------------------------------------------------------- */

static int add_encoded(const char *text, struct buf *out, struct err *e)
{
	for (; *text; text++) {
		const unsigned char c = (unsigned char)*text;
		const bool plain = (c >= '0' && c <= '9') ||
				   (c >= 'A' && c <= 'Z') ||
				   (c >= 'a' && c <= 'z') || c == '-' ||
				   c == '_' || c == '.';

		if ((plain ? buf_add_byte(out, c, e)
			   : buf_addf(out, e, "%%%02X", c)) < 0)
			return -1;
	}
	return 0;
}

/* The route with its "{name}" parts filled in. */
static int add_path(const struct client_call *call, struct buf *url,
		    struct err *e)
{
	const char *route = call->operation->route;

	while (*route) {
		const char *end = *route == '{' ? strchr(route, '}') : NULL;
		char name[64] = "";

		if (!end || (size_t)(end - route) > sizeof(name)) {
			if (buf_add_byte(url, (uint8_t)*route++, e) < 0)
				return -1;
			continue;
		}
		memcpy(name, route + 1, (size_t)(end - route) - 1);
		if (add_encoded(args_text(call->args, name), url, e) < 0)
			return -1;
		route = end + 1;
	}
	return 0;
}

/* Only what was given; the daemon knows the defaults. */
static bool is_sent(const struct client_call *call,
		    const struct operation_param *p)
{
	return args_given(call->args, p->name) &&
	       !operation_in_route(call->operation, p->name);
}

static int add_query(const struct client_call *call, struct buf *url,
		     struct err *e)
{
	const struct operation_param *p;
	char sep = '?';

	for (size_t i = 0; (p = operation_param(call->operation, i)); i++) {
		if (!is_sent(call, p))
			continue;
		for (size_t k = 0; k < args_count(call->args, p->name); k++) {
			if (buf_addf(url, e, "%c%s=", sep, p->name) < 0 ||
			    add_encoded(args_nth(call->args, p->name, k), url,
					e) < 0)
				return -1;
			sep = '&';
		}
	}
	return 0;
}

/* With the name by which messages are to call it. */
static void write_document(const struct client_call *call,
			   const struct operation_param *p, struct json *j)
{
	const char *label;
	size_t n;
	const char *text = args_document(call->args, p->name, &n, &label);

	json_begin_object(j);
	json_kv_str(j, "name", label);
	json_key(j, "text");
	json_strn(j, text, n);
	json_end_object(j);
}

static void write_param(const struct client_call *call,
			const struct operation_param *p, struct json *j)
{
	json_key(j, p->name);
	if (p->kind == PARAM_SWITCH) {
		json_bool(j, args_switch(call->args, p->name));
		return;
	}
	if (p->type == PARAM_DOCUMENT) {
		write_document(call, p, j);
		return;
	}
	if (!p->repeated) {
		json_str(j, args_text(call->args, p->name));
		return;
	}
	json_begin_list(j);
	for (size_t k = 0; k < args_count(call->args, p->name); k++)
		json_str(j, args_nth(call->args, p->name, k));
	json_end_list(j);
}

/* By line, as every other mistake in a document is told. */
static int check_document(const struct client_call *call, const char *name,
			  struct err *e)
{
	const char *label;
	size_t n;
	const char *at = args_document(call->args, name, &n, &label);
	unsigned int line = 1;

	for (; n > 0; line++) {
		const char *newline = memchr(at, '\n', n);
		const size_t len = newline ? (size_t)(newline - at) + 1 : n;

		if (!text_is_utf8(at, len)) {
			(void)err_set(e, ERR_USAGE,
				      "%s:%u: found a byte that is not UTF-8",
				      label, line);
			return err_hint(e, "save the document as UTF-8");
		}
		at += len;
		n -= len;
	}
	return 0;
}

/* JSON holds only UTF-8, and a name must not change on its way. */
static int check_text(const struct client_call *call,
		      const struct operation_param *p, struct err *e)
{
	if (p->type == PARAM_DOCUMENT)
		return check_document(call, p->name, e);
	for (size_t k = 0; k < args_count(call->args, p->name); k++) {
		const char *text = args_nth(call->args, p->name, k);

		if (!text_is_utf8(text, strlen(text)))
			return err_set(e, ERR_USAGE, "%s is not UTF-8",
				       text_quote_str(text).s);
	}
	return 0;
}

static int write_body(const struct client_call *call, struct buf *body,
		      struct err *e)
{
	const struct operation_param *p;
	struct json j;

	json_init(&j, json_to_buf, body);
	json_begin_object(&j);
	for (size_t i = 0; (p = operation_param(call->operation, i)); i++) {
		if (!is_sent(call, p))
			continue;
		if (check_text(call, p, e) < 0)
			return -1;
		write_param(call, p, &j);
	}
	json_end_object(&j);
	return json_finish(&j, e);
}

/* ---- The answer --------------------------------------------------------- */

/* By the first two letters of "partial", "failed", "refused", "damaged". */
static enum operation_outcome outcome_named(char first, char second)
{
	if (first == 'p')
		return OPERATION_PARTIAL;
	if (first == 'f')
		return OPERATION_FAILED;
	if (first == 'r')
		return OPERATION_REFUSED;
	return first == 'd' && second == 'a' ? OPERATION_DAMAGED
					     : OPERATION_DONE;
}

static size_t take_header(char *text, size_t size, size_t n, void *arg)
{
	static const char version[] = "snapctl-version: ";
	static const char outcome[] = "snapctl-outcome: ";
	struct answer *a = arg;
	const size_t len = size * n;

	if (len > strlen(version) &&
	    strncasecmp(text, version, strlen(version)) == 0) {
		const char *value = text + strlen(version);
		size_t k = 0;

		a->ours = true;
		while (k < len - strlen(version) && k < 31 && value[k] > ' ' &&
		       value[k] < 0x7f)
			k++;
		memcpy(a->version, value, k);
		a->version[k] = '\0';
	}
	if (len > strlen(outcome) &&
	    strncasecmp(text, outcome, strlen(outcome)) == 0)
		a->outcome = outcome_named(text[strlen(outcome)],
					   text[strlen(outcome) + 1]);
	return len;
}

static long status_of(CURL *curl)
{
	long status = 0;

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static size_t take_body(char *text, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	const size_t len = size * n;

	if (!a->ours || status_of(a->curl) != 200)
		return buf_add(&a->failure, text, len, &a->broken) < 0 ? 0
								       : len;
	return a->call->sink(a->call->arg, text, len, &a->broken) < 0 ? 0 : len;
}

/* What every request to a socket has in common; NULL: no memory. */
static CURL *new_handle(const char *socket)
{
	CURL *curl = curl_easy_init();

	if (!curl)
		return NULL;
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
	(void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	return curl;
}

static int on_alive_progress(void *arg, curl_off_t a UNUSED,
			     curl_off_t b UNUSED, curl_off_t c UNUSED,
			     curl_off_t d UNUSED)
{
	const struct answer *answer = arg;

	return atomic_load(answer->call->stop);
}

/*
 * Whether anything at all is answered over a second connection.  The daemon
 * says that there is no "/" without waiting for an operation that runs.
 */
static bool is_alive(struct answer *a)
{
	CURL *curl = new_handle(a->call->socket);
	bool alive;

	if (!curl)
		return false;
	(void)curl_easy_setopt(curl, CURLOPT_URL, "http://snapctl/");
	(void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ALIVE_MS);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION,
			       on_alive_progress);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, a);
	alive = curl_easy_perform(curl) == CURLE_OK;
	curl_easy_cleanup(curl);
	return alive;
}

/*
 * An operation may take as long as the daemon's own deadline lets it, which
 * only the daemon knows; a stopped one would keep us for ever.
 */
static int on_progress(void *arg, curl_off_t a UNUSED, curl_off_t got,
		       curl_off_t c UNUSED, curl_off_t sent)
{
	struct answer *answer = arg;
	const int64_t now_ms = clock_boot_ms();

	if (!answer->moved_ms || answer->moved != got + sent) {
		answer->moved = got + sent;
		answer->moved_ms = now_ms;
	} else if (now_ms - answer->moved_ms >= STALL_MS) {
		if (!is_alive(answer))
			return 1;
		answer->moved_ms = clock_boot_ms();
	}
	return atomic_load(answer->call->stop);
}

/* The failure that the daemon described. */
static int told_failure(const struct answer *a, struct err *e)
{
	json_t *reply;
	const int got = jsontree_load(buf_str(&a->failure), a->failure.len, 0,
				      &reply, NULL, e);
	const json_t *error = json_object_get(reply, "error");
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *text = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));

	if (got < 0)
		return -1;
	if (!code || !text) {
		json_decref(reply);
		return err_set(e, ERR_IO,
			       "the daemon answered with status %ld and no "
			       "reason",
			       status_of(a->curl));
	}
	(void)err_set(e, err_code_named(code), "%s", text);
	if (e->code == ERR_NONE)
		e->code = ERR_IO; /* a code of a newer daemon */
	if (hint)
		(void)err_hint(e, "%s", hint);
	else if (strcmp(a->version, SNAPCTL_VERSION) != 0)
		(void)err_hint(e, "the daemon is version %s, this program %s",
			       a->version, SNAPCTL_VERSION);
	json_decref(reply);
	return -1;
}

/* ---- Connecting --------------------------------------------------------- */

/* Something else is where the daemon was looked for. */
static int hint_at_setting(struct err *e)
{
	return err_hint(e,
			"name the daemon's socket with --socket; \"snapctl "
			"config show --origin\" tells where this one is set");
}

static int not_ours(const struct answer *a, const char *why, struct err *e)
{
	(void)err_set(e, ERR_USAGE, "what answers at %s is not snapctld%s%s",
		      text_quote_str(a->call->socket).s, *why ? ": " : "", why);
	return hint_at_setting(e);
}

/* What can be told about a socket before anybody is asked. */
static int look_at(const char *path, struct err *e)
{
	struct stat st;

	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(e, ERR_USAGE, "the socket's path %s is too long",
			       text_quote_str(path).s);
	if (stat(path, &st) == 0) {
		if (S_ISSOCK(st.st_mode))
			return 0;
		(void)err_set(e, ERR_USAGE, "%s is not a socket",
			      text_quote_str(path).s);
		return hint_at_setting(e);
	}
	if (errno != ENOENT && errno != ENOTDIR)
		return err_sys(e, "cannot reach the daemon at %s",
			       text_quote_str(path).s);
	(void)err_set(e, ERR_BUSY, "the daemon is not running: no socket at %s",
		      text_quote_str(path).s);
	return err_hint(e, "start it with \"systemctl start snapctld\", or "
			   "name its socket with --socket");
}

static int no_answer(const struct answer *a, struct err *e)
{
	(void)err_set(e, ERR_BUSY, "the daemon at %s does not answer",
		      text_quote_str(a->call->socket).s);
	if (a->call->operation->flags & OPERATION_CHANGES)
		return err_hint(e, "\"systemctl status snapctld\" shows it; "
				   "it may still do what it was asked");
	return err_hint(e, "\"systemctl status snapctld\" shows it");
}

static int no_connection(const struct answer *a, CURLcode code, struct err *e)
{
	const char *where = a->call->socket;
	long sys = 0;

	(void)curl_easy_getinfo(a->curl, CURLINFO_OS_ERRNO, &sys);
	if (code == CURLE_COULDNT_CONNECT && (sys == EACCES || sys == EPERM)) {
		(void)err_set(e, ERR_DENIED,
			      "this user may not use the socket %s",
			      text_quote_str(where).s);
		return err_hint(e, "members of its group may read; try sudo, "
				   "or have yourself added to the group");
	}
	if (code == CURLE_COULDNT_CONNECT && sys == EPROTOTYPE)
		return not_ours(a, "a socket of another type", e);
	if (code == CURLE_COULDNT_CONNECT) {
		(void)err_set(e, ERR_BUSY, "nobody listens at %s",
			      text_quote_str(where).s);
		return err_hint(e, "the daemon stopped or is starting: "
				   "\"systemctl status snapctld\"");
	}
	if (code == CURLE_OPERATION_TIMEDOUT)
		return no_answer(a, e);
	if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR ||
	    code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR) {
		(void)err_set(e, ERR_BUSY,
			      "the daemon ended the connection early");
		return err_hint(e, "its log says why");
	}
	if (code == CURLE_OUT_OF_MEMORY)
		return err_oom(e);
	return not_ours(a, curl_easy_strerror(code), e);
}

static int judge(struct answer *a, CURLcode code, struct err *e)
{
	if (code == CURLE_ABORTED_BY_CALLBACK && !atomic_load(a->call->stop))
		return no_answer(a, e);
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	if (code == CURLE_WRITE_ERROR && a->broken.code != ERR_NONE) {
		*e = a->broken;
		return -1;
	}
	if (code != CURLE_OK)
		return no_connection(a, code, e);
	if (!a->ours)
		return not_ours(a, "", e);
	return status_of(a->curl) == 200 ? 0 : told_failure(a, e);
}

static int perform(struct answer *a, const char *url, const struct buf *body,
		   struct err *e)
{
	CURL *curl = a->curl;
	struct curl_slist *headers = curl_slist_append(
		NULL, "Content-Type: application/json");
	CURLcode code;

	/* No "Expect: 100-continue": it costs a second for nothing. */
	if (headers)
		(void)curl_slist_append(headers, "Expect:");
	if (!headers)
		return err_oom(e);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST,
			       a->call->operation->method);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, a);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
	if (body->len > 0) {
		(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				       (curl_off_t)body->len);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, buf_str(body));
	}
	code = curl_easy_perform(curl);
	curl_slist_free_all(headers);
	return judge(a, code, e);
}

int client_call(const struct client_call *call, enum operation_outcome *ret,
		struct err *e)
{
	CLEANUP(buf_done) struct buf url;
	CLEANUP(buf_done) struct buf body;
	struct answer a = { .call = call };
	int status;

	buf_init(&url, REQUEST_MAX);
	buf_init(&body, REQUEST_MAX);
	if (look_at(call->socket, e) < 0 ||
	    buf_add_str(&url, "http://snapctl/v1", e) < 0 ||
	    add_path(call, &url, e) < 0)
		return -1;
	if ((strcmp(call->operation->method, "GET") == 0
		     ? add_query(call, &url, e)
		     : write_body(call, &body, e)) < 0)
		return -1;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return err_oom(e);
	a.curl = new_handle(call->socket);
	if (!a.curl)
		return err_oom(e);
	buf_init(&a.failure, FAILURE_MAX);
	status = perform(&a, buf_str(&url), &body, e);
	curl_easy_cleanup(a.curl);
	buf_done(&a.failure);
	if (status == 0)
		*ret = a.outcome;
	return status;
}

int client_settings(const char *config_file, const char *socket,
		    struct config **ret, struct err *e)
{
	CLEANUP(problem_done) struct problem_list problems;
	const struct config_flag flag = { .key = CONFIG_SOCKET,
					  .text = socket };
	const struct config_input input = { .config_file = config_file,
					    .flags = &flag,
					    .flag_count = socket != NULL,
					    .environment = environ,
					    .uid = geteuid() };

	problem_init(&problems);
	return config_load(&input, ret, &problems, e);
}
