#include "service/config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/instant.h"
#include "base/text.h"
#include "service/operation.h"
#include "service/yaml.h"

#define FILES_MAX  3
#define PATH_BYTES 1024

#define SECONDS(n) (INT64_C(n) * 1000)
#define DAYS(n)	   (SECONDS(86400) * (n))
#define MIB(n)	   (INT64_C(n) << 20)

/* In the order of enum config_key. */
static const struct config_setting settings[CONFIG_KEY_COUNT] = {
	{ "state", "SNAPCTL_STATE", "state", CONFIG_PATH, "/var/lib/snapctl",
	  NULL, 0, 0, "folder of the catalog" },
	{ "keys", "SNAPCTL_KEYS", "keys", CONFIG_PATH, "/etc/snapctl/keys",
	  NULL, 0, 0, "folder of key files" },
	{ "cache", "SNAPCTL_CACHE", "cache", CONFIG_PATH, "/var/cache/snapctl",
	  NULL, 0, 0, "folder of what can be made again" },
	{ "socket", "SNAPCTL_SOCKET", "socket", CONFIG_PATH,
	  "/run/snapctl/snapctl.sock", NULL, 0, 0, "where the daemon listens" },
	{ "group", "SNAPCTL_GROUP", "group", CONFIG_TEXT, "snapctl", NULL, 0, 0,
	  "members may read through the socket" },
	{ "logLevel", "SNAPCTL_LOG_LEVEL", "log-level", CONFIG_CHOICE, "info",
	  "error|warn|info|debug", 0, 0, "how much the daemon logs" },
	{ "tick", "SNAPCTL_TICK", "tick", CONFIG_CLOCK, "10s", NULL, SECONDS(1),
	  SECONDS(3600), "how often the timetable is looked at" },
	{ "concurrency", "SNAPCTL_CONCURRENCY", "concurrency", CONFIG_NUMBER,
	  "4", NULL, 1, 1024, "runs at once on this host" },
	{ "stopTimeout", "SNAPCTL_STOP_TIMEOUT", "stop-timeout", CONFIG_CLOCK,
	  "1m", NULL, 0, DAYS(1), "what a stop grants to running runs" },
	{ "grace", "SNAPCTL_GRACE", "grace", CONFIG_CLOCK, "24h", NULL, 0,
	  DAYS(3660), "how long a deleted snapshot can come back" },
	{ "coolingOff", "SNAPCTL_COOLING_OFF", "cooling-off", CONFIG_CLOCK,
	  "7d", NULL, 0, DAYS(3660), "how long a shortening waits" },
	{ "verifyBudget", "SNAPCTL_VERIFY_BUDGET", "verify-budget", CONFIG_SIZE,
	  "10G", NULL, MIB(1), INT64_C(1) << 60,
	  "bytes that one run reads to verify" },
	{ "requestBytes", "SNAPCTL_REQUEST_BYTES", "request-bytes", CONFIG_SIZE,
	  "4M", NULL, INT64_C(1) << 16, MIB(1024),
	  "the largest request that is taken" },
	{ "requestTimeout", "SNAPCTL_REQUEST_TIMEOUT", "request-timeout",
	  CONFIG_CLOCK, "30s", NULL, SECONDS(1), DAYS(1),
	  "the longest that a request may take" },
	{ "requestConnections", "SNAPCTL_REQUEST_CONNECTIONS",
	  "request-connections", CONFIG_NUMBER, "1024", NULL, 1, 65536,
	  "connections at once, fewer where few files may be open" },
	{ "confine", "SNAPCTL_CONFINE", "confine", CONFIG_CHOICE, "on",
	  "on|off", 0, 0, "whether runs give up what they do not need" },
};

/* Variables that are no settings, and are right all the same. */
static const char *const other_variables[] = { "SNAPCTL_REPO",
					       "SNAPCTL_KEY_FILE",
					       "SNAPCTL_ETC" };

struct value {
	char *text;
	int64_t number; /* ms, bytes or units */
	enum config_layer layer;
	char *file; /* or the variable's name, or NULL */
	uint32_t line;
};

struct config {
	struct value values[CONFIG_KEY_COUNT];
	char *files[FILES_MAX]; /* those that were read */
	size_t file_count;
};

struct loading {
	const struct config_input *in;
	struct config *config;
	struct problem_list *problems;
	struct err *e;
	char folder[PATH_BYTES]; /* ETC */
};

/* ---- The table --------------------------------------------------------------
 */

const struct config_setting *config_setting(size_t n)
{
	return n < CONFIG_KEY_COUNT ? &settings[n] : NULL;
}

int config_flag_named(const char *flag)
{
	for (int i = 0; i < CONFIG_KEY_COUNT; i++)
		if (strcmp(settings[i].flag, flag) == 0)
			return i;
	return -1;
}

static const char *nth_key(void *arg, size_t n)
{
	(void)arg;
	return n < CONFIG_KEY_COUNT ? settings[n].key : NULL;
}

static const char *nth_variable(void *arg, size_t n)
{
	const size_t others = sizeof(other_variables) /
			      sizeof(*other_variables);

	(void)arg;
	if (n < CONFIG_KEY_COUNT)
		return settings[n].env;
	n -= CONFIG_KEY_COUNT;
	return n < others ? other_variables[n] : NULL;
}

/* ---- One value
 * ---------------------------------------------------------------- */

/* Digits, and K, M, G or T of 1024. */
static bool parse_size(const char *s, int64_t *ret)
{
	static const char units[] = "KMGT";
	size_t n = strspn(s, "0123456789");
	unsigned int shift = 0;
	char digits[24];
	const char *unit;
	int64_t v;

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (s[n]) {
		unit = strchr(units, s[n]);
		if (unit == NULL || s[n + 1])
			return false;
		shift = (unsigned int)(unit - units + 1) * 10;
	}
	if (!text_number(digits, 0, INT64_C(1) << (60 - shift), &v))
		return false;
	*ret = (int64_t)((uint64_t)v << shift);
	return true;
}

static bool is_choice(const char *choices, const char *text)
{
	const size_t n = strlen(text);

	for (const char *p = choices; *p;) {
		size_t k = strcspn(p, "|");

		if (k == n && memcmp(p, text, n) == 0)
			return true;
		p += p[k] ? k + 1 : k;
	}
	return false;
}

/* What the setting takes, in words; and whether text is that. */
static bool understand(enum config_key key, const char *text, int64_t *ret,
		       char expected[160])
{
	const struct config_setting *s = &settings[key];
	char low[INSTANT_TEXT], high[INSTANT_TEXT];
	struct err ignored;
	bool ok = true;

	*ret = 0;
	switch (s->type) {
	case CONFIG_TEXT:
		(void)snprintf(expected, 160, "text");
		return *text != '\0';
	case CONFIG_PATH:
		(void)snprintf(expected, 160, "an absolute path");
		return text[0] == '/' && strlen(text) < PATH_BYTES;
	case CONFIG_CHOICE:
		(void)snprintf(expected, 160, "one of %s", s->choices);
		return is_choice(s->choices, text);
	case CONFIG_NUMBER:
		(void)snprintf(expected, 160,
			       "a whole number from %" PRId64 " to %" PRId64,
			       s->min, s->max);
		ok = text_number(text, s->min, s->max, ret);
		break;
	case CONFIG_SIZE:
		(void)snprintf(expected, 160,
			       "bytes as 64K, 10M or 2G, from %" PRId64
			       " to %" PRId64,
			       s->min, s->max);
		ok = parse_size(text, ret);
		break;
	case CONFIG_CLOCK:
		instant_duration_format(s->min, low);
		instant_duration_format(s->max, high);
		(void)snprintf(expected, 160,
			       "a duration as 1d12h30m (m = minutes), from %s "
			       "to %s",
			       low, high);
		ok = instant_duration_parse(text, ret, &ignored) == 0;
		break;
	}
	return ok && *ret >= s->min && *ret <= s->max;
}

static int store(struct loading *l, enum config_key key, const char *text,
		 enum config_layer layer, struct problem_place at)
{
	struct value *v = &l->config->values[key];
	struct value fresh = { .layer = layer, .line = at.line };
	char expected[160];

	if (!understand(key, text, &fresh.number, expected)) {
		problem_add(l->problems, at, "%s: found %s, expected %s",
			    settings[key].key, text_quote_str(text).s,
			    expected);
		return 0;
	}
	fresh.text = strdup(text);
	if (at.file)
		fresh.file = strdup(at.file);
	if (fresh.text == NULL || (at.file && fresh.file == NULL)) {
		free(fresh.text);
		free(fresh.file);
		return err_oom(l->e);
	}
	free(v->text);
	free(v->file);
	*v = fresh;
	return 0;
}

/* ---- Built-in values
 * ---------------------------------------------------------- */

static const char *variable(const struct config_input *in, const char *name)
{
	const size_t n = strlen(name);

	for (char *const *p = in->environment; p && *p; p++)
		if (strncmp(*p, name, n) == 0 && (*p)[n] == '=')
			return *p + n + 1;
	return NULL;
}

/*
 * $XDG_…_HOME, or its default below $HOME; relative ones do not count.  1
 * when a client has neither: it asks the system's daemon then.
 */
static int xdg(struct loading *l, const char *name, const char *below,
	       const char *rest, char out[PATH_BYTES])
{
	const char *folder = variable(l->in, name);
	const char *home = variable(l->in, "HOME");
	int n;

	if (folder && folder[0] == '/')
		n = snprintf(out, PATH_BYTES, "%s/%s", folder, rest);
	else if (home && home[0] == '/')
		n = snprintf(out, PATH_BYTES, "%s/%s/%s", home, below, rest);
	else if (!l->in->daemon)
		return 1;
	else
		return err_set(l->e, ERR_USAGE,
			       "neither HOME nor %s is set to an absolute "
			       "path",
			       name);
	if (n < 0 || n >= PATH_BYTES)
		return err_set(l->e, ERR_USAGE, "%s is too long", name);
	return 0;
}

static int find_folder(struct loading *l)
{
	const char *etc = variable(l->in, "SNAPCTL_ETC");

	if (etc && etc[0] == '/' && strlen(etc) < PATH_BYTES) {
		(void)snprintf(l->folder, sizeof(l->folder), "%s", etc);
		return 0;
	}
	if (etc)
		return err_set(l->e, ERR_USAGE,
			       "SNAPCTL_ETC: found %s, expected an absolute "
			       "path",
			       text_quote_str(etc).s);
	(void)snprintf(l->folder, sizeof(l->folder), "/etc/snapctl");
	return l->in->uid == 0 ? 0
			       : xdg(l, "XDG_CONFIG_HOME", ".config", "snapctl",
				     l->folder);
}

static int own_socket(struct loading *l, char out[PATH_BYTES])
{
	const char *system = settings[CONFIG_SOCKET].fallback;
	const char *runtime = variable(l->in, "XDG_RUNTIME_DIR");
	int found = 0;

	if (runtime && runtime[0] == '/') {
		int n = snprintf(out, PATH_BYTES, "%s/snapctl/snapctl.sock",
				 runtime);

		if (n < 0 || n >= PATH_BYTES)
			return err_set(l->e, ERR_USAGE,
				       "XDG_RUNTIME_DIR is too long");
	} else {
		found = xdg(l, "XDG_STATE_HOME", ".local/state",
			    "snapctl/snapctl.sock", out);
	}
	if (found != 0)
		return found;
	/* A member of the group asks the system's daemon. */
	if (!l->in->daemon && access(out, F_OK) != 0 &&
	    access(system, F_OK) == 0)
		(void)snprintf(out, PATH_BYTES, "%s", system);
	return 0;
}

static int built_in(struct loading *l, enum config_key key,
		    char out[PATH_BYTES])
{
	int n = snprintf(out, PATH_BYTES, "%s", settings[key].fallback);

	if (key == CONFIG_KEYS)
		n = snprintf(out, PATH_BYTES, "%s/keys", l->folder);
	if (n < 0 || n >= PATH_BYTES)
		return err_set(l->e, ERR_USAGE, "SNAPCTL_ETC is too long");
	if (l->in->uid == 0)
		return 0;
	if (key == CONFIG_STATE)
		return xdg(l, "XDG_STATE_HOME", ".local/state", "snapctl", out);
	if (key == CONFIG_CACHE)
		return xdg(l, "XDG_CACHE_HOME", ".cache", "snapctl", out);
	return key == CONFIG_SOCKET ? own_socket(l, out) : 0;
}

static int load_built_in(struct loading *l)
{
	const struct problem_place nowhere = { NULL, 0, 0 };
	char text[PATH_BYTES];

	for (int i = 0; i < CONFIG_KEY_COUNT; i++)
		/* 1: the fallback is in text already, and stays. */
		if (built_in(l, (enum config_key)i, text) < 0 ||
		    store(l, (enum config_key)i, text, CONFIG_LAYER_BUILT_IN,
			  nowhere) < 0)
			return -1;
	return 0;
}

/* ---- Files
 * -------------------------------------------------------------------- */

/* Whether the YAML value has the type; its text is looked at later. */
static bool kind_fits(enum config_type type, enum yaml_kind kind)
{
	if (type == CONFIG_NUMBER)
		return kind == YAML_INT;
	return kind == YAML_TEXT || (type == CONFIG_SIZE && kind == YAML_INT);
}

static int load_pair(struct loading *l, const struct yaml *y,
		     const struct yaml_node *node, enum config_layer layer)
{
	const char *nearest;
	char expected[160];
	int64_t ignored;

	for (int i = 0; i < CONFIG_KEY_COUNT; i++) {
		if (strcmp(settings[i].key, node->key) != 0)
			continue;
		if (kind_fits(settings[i].type, node->kind))
			return store(l, (enum config_key)i, node->text, layer,
				     yaml_place(y, node));
		(void)understand((enum config_key)i, "", &ignored, expected);
		problem_add(l->problems, yaml_place(y, node),
			    "%s: found %s, expected %s", settings[i].key,
			    yaml_found(node).s, expected);
		return 0;
	}
	nearest = operation_nearest(node->key, nth_key, NULL);
	problem_add(l->problems, yaml_key_place(y, node),
		    "found the setting %s, which there is not",
		    text_quote_str(node->key).s);
	if (nearest)
		problem_mend(l->problems, "did you mean \"%s\"?", nearest);
	else
		problem_mend(l->problems,
			     "snapctl config show lists the settings");
	return 0;
}

static int load_tree(struct loading *l, const struct yaml *y,
		     enum config_layer layer)
{
	const struct yaml_node *root, *node;

	if (yaml_count(y) == 0)
		return 0;
	root = yaml_document(y, 0);
	if (root->next) {
		problem_add(l->problems, yaml_place(y, root->next),
			    "found a second document, expected one");
		return 0;
	}
	if (root->kind != YAML_MAP) {
		problem_add(l->problems, yaml_place(y, root),
			    "found %s, expected a map of settings",
			    yaml_found(root).s);
		return 0;
	}
	for (node = root->first; node; node = node->next)
		if (load_pair(l, y, node, layer) < 0)
			return -1;
	return 0;
}

static int load_file(struct loading *l, const char *path,
		     enum config_layer layer, bool must_exist)
{
	CLEANUP(buf_done) struct buf bytes = { 0 };
	CLEANUP(yaml_free) struct yaml *y = NULL;
	struct err why;

	buf_init(&bytes, YAML_BYTES + 1);
	if (file_read_all(path, &bytes, &why) < 0) {
		/* The machine's failure is no mistake of the user's. */
		if (why.code == ERR_NO_MEMORY || why.code == ERR_FULL ||
		    (why.code == ERR_IO && why.sys != ENOTDIR &&
		     why.sys != ELOOP && why.sys != ENAMETOOLONG)) {
			*l->e = why;
			return -1;
		}
		if (why.code != ERR_NOT_FOUND || must_exist)
			problem_add(l->problems,
				    (struct problem_place){ path, 0, 0 }, "%s",
				    why.text);
		return 0;
	}
	l->config->files[l->config->file_count] = strdup(path);
	if (l->config->files[l->config->file_count++] == NULL)
		return err_oom(l->e);
	if (yaml_parse(path, buf_str(&bytes), bytes.len, &y, l->problems,
		       &why) == 0)
		return load_tree(l, y, layer);
	if (why.code == ERR_USAGE)
		return 0;
	*l->e = why;
	return -1;
}

static int load_files(struct loading *l)
{
	static const struct {
		const char *name;
		enum config_layer layer;
	} files[FILES_MAX] = {
		{ "environment.yaml", CONFIG_LAYER_ENVIRONMENT_FILE },
		{ "snapctld.yaml", CONFIG_LAYER_DAEMON_FILE },
		{ "instance.yaml", CONFIG_LAYER_INSTANCE_FILE },
	};
	char path[PATH_BYTES + 32];

	for (size_t i = 0; i < FILES_MAX; i++) {
		const bool named = l->in->config_file &&
				   files[i].layer == CONFIG_LAYER_INSTANCE_FILE;

		(void)snprintf(path, sizeof(path), "%s/%s", l->folder,
			       files[i].name);
		if (load_file(l, named ? l->in->config_file : path,
			      files[i].layer, named) < 0)
			return -1;
	}
	return 0;
}

/* ---- Environment and flags
 * ------------------------------------------------------ */

static bool is_other(const char *name)
{
	if (strncmp(name, "SNAPCTL_TEST_", strlen("SNAPCTL_TEST_")) == 0)
		return true;
	for (size_t i = 0;
	     i < sizeof(other_variables) / sizeof(*other_variables); i++)
		if (strcmp(name, other_variables[i]) == 0)
			return true;
	return false;
}

static int load_variable(struct loading *l, const char *name, const char *text)
{
	const struct problem_place at = { name, 0, 0 };
	const char *nearest;

	for (int i = 0; i < CONFIG_KEY_COUNT; i++)
		if (strcmp(settings[i].env, name) == 0)
			return store(l, (enum config_key)i, text,
				     CONFIG_LAYER_ENVIRONMENT, at);
	if (is_other(name))
		return 0;
	nearest = operation_nearest(name, nth_variable, NULL);
	problem_warn(l->problems, at, "this variable sets nothing");
	if (nearest)
		problem_mend(l->problems, "did you mean \"%s\"?", nearest);
	return 0;
}

static int load_environment(struct loading *l)
{
	char name[128];

	for (char *const *p = l->in->environment; p && *p; p++) {
		size_t n = strcspn(*p, "=");

		if (strncmp(*p, "SNAPCTL_", strlen("SNAPCTL_")) != 0 ||
		    (*p)[n] == '\0' || n >= sizeof(name))
			continue;
		memcpy(name, *p, n);
		name[n] = '\0';
		if (load_variable(l, name, *p + n + 1) < 0)
			return -1;
	}
	return 0;
}

static int load_flags(struct loading *l)
{
	char name[64];

	for (size_t i = 0; i < l->in->flag_count; i++) {
		const struct config_flag *f = &l->in->flags[i];

		(void)snprintf(name, sizeof(name), "--%s",
			       settings[f->key].flag);
		if (store(l, f->key, f->text, CONFIG_LAYER_FLAG,
			  (struct problem_place){ name, 0, 0 }) < 0)
			return -1;
	}
	return 0;
}

/* ---- All of it
 * -------------------------------------------------------------------- */

/* 0 when all was looked at, whatever was wrong with it. */
static int load_layers(struct loading *l)
{
	if (find_folder(l) >= 0 && load_built_in(l) == 0)
		return (!l->in->flags_only &&
			(load_files(l) < 0 || load_environment(l) < 0)) ||
				       load_flags(l) < 0
			       ? -1
			       : 0;
	if (l->e->code != ERR_USAGE)
		return -1;
	problem_add(l->problems, (struct problem_place){ NULL, 0, 0 }, "%s",
		    l->e->text);
	problem_mend(l->problems, "set HOME, or name each folder: SNAPCTL_ETC, "
				  "SNAPCTL_STATE, SNAPCTL_CACHE, "
				  "SNAPCTL_SOCKET");
	return 0;
}

static int load_all(const struct config_input *in, struct config **ret,
		    struct problem_list *problems, struct err *e)
{
	struct config *c = calloc(1, sizeof(*c));
	struct loading l = {
		.in = in, .config = c, .problems = problems, .e = e
	};

	if (c == NULL)
		return err_oom(e);
	if (load_layers(&l) < 0) {
		config_free(c);
		return -1;
	}
	*ret = c;
	return 0;
}

int config_load(const struct config_input *in, struct config **ret,
		struct problem_list *problems, struct err *e)
{
	struct config *c = NULL;

	if (load_all(in, &c, problems, e) < 0)
		return -1;
	if (problem_err(problems, e) < 0) {
		config_free(c);
		return -1;
	}
	*ret = c;
	return 0;
}

void config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		free(c->values[i].text);
		free(c->values[i].file);
	}
	for (size_t i = 0; i < c->file_count; i++)
		free(c->files[i]);
	free(c);
}

const char *config_text(const struct config *c, enum config_key key)
{
	assert(settings[key].type <= CONFIG_CHOICE);
	return c->values[key].text;
}

int64_t config_number(const struct config *c, enum config_key key)
{
	assert(settings[key].type == CONFIG_NUMBER);
	return c->values[key].number;
}

int64_t config_ms(const struct config *c, enum config_key key)
{
	assert(settings[key].type == CONFIG_CLOCK);
	return c->values[key].number;
}

uint64_t config_bytes(const struct config *c, enum config_key key)
{
	assert(settings[key].type == CONFIG_SIZE);
	return (uint64_t)c->values[key].number;
}

const char *config_value(const struct config *c, enum config_key key)
{
	return c->values[key].text;
}

enum config_layer config_layer_of(const struct config *c, enum config_key key)
{
	return c->values[key].layer;
}

const char *config_layer_name(enum config_layer layer)
{
	static const char *const names[] = {
		[CONFIG_LAYER_BUILT_IN] = "built-in",
		[CONFIG_LAYER_ENVIRONMENT_FILE] = "environment.yaml",
		[CONFIG_LAYER_DAEMON_FILE] = "snapctld.yaml",
		[CONFIG_LAYER_INSTANCE_FILE] = "instance",
		[CONFIG_LAYER_ENVIRONMENT] = "environment",
		[CONFIG_LAYER_FLAG] = "flag",
	};

	return names[layer];
}

void config_write(const struct config *c, bool origin, struct json *j)
{
	json_begin_list(j);
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		const struct value *v = &c->values[i];

		json_begin_object(j);
		json_kv_str(j, "key", settings[i].key);
		json_path(j, "value", v->text, strlen(v->text));
		if (origin) {
			json_kv_str(j, "layer", config_layer_name(v->layer));
			if (v->file)
				json_path(j, "file", v->file, strlen(v->file));
			else
				json_kv_str(j, "file", NULL);
			json_key(j, "line");
			if (v->line > 0)
				json_uint(j, v->line);
			else
				json_none(j);
		}
		json_end_object(j);
	}
	json_end_list(j);
}

static void write_check(const struct config *c,
			const struct problem_list *problems, struct json *j)
{
	json_begin_object(j);
	json_kv_bool(j, "ok", problems->errors == 0);
	json_key(j, "files");
	json_begin_list(j);
	for (size_t i = 0; i < c->file_count; i++)
		json_str(j, c->files[i]);
	json_end_list(j);
	json_key(j, "problems");
	problem_write(problems, j);
	json_end_object(j);
}

int config_check(const struct config_input *in, struct json *j, bool *ret_ok,
		 struct err *e)
{
	CLEANUP(problem_done) struct problem_list problems;
	struct config *c = NULL;

	problem_init(&problems);
	if (load_all(in, &c, &problems, e) < 0)
		return -1;
	if (!problems.no_memory)
		write_check(c, &problems, j);
	config_free(c);
	if (problems.no_memory)
		return err_oom(e);
	*ret_ok = problems.errors == 0;
	return 0;
}

void config_describe(struct json *j)
{
	static const char *const types[] = {
		[CONFIG_TEXT] = "text",	    [CONFIG_PATH] = "path",
		[CONFIG_CHOICE] = "choice", [CONFIG_NUMBER] = "number",
		[CONFIG_SIZE] = "size",	    [CONFIG_CLOCK] = "duration",
	};

	json_begin_list(j);
	for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
		const struct config_setting *s = &settings[i];

		json_begin_object(j);
		json_kv_str(j, "key", s->key);
		json_kv_str(j, "env", s->env);
		json_kv_str(j, "flag", s->flag);
		json_kv_str(j, "type",
			    s->choices ? s->choices : types[s->type]);
		json_kv_str(j, "default", s->fallback);
		json_kv_str(j, "doc", s->doc);
		json_end_object(j);
	}
	json_end_list(j);
}
