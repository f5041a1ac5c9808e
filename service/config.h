/*
 * The settings of snapctld and snapctl, in layers.
 *
 * One table (config.c) gives each setting its key, environment variable,
 * flag, type, default and meaning; to add one is to add an enum here and a
 * row there.  Later layers win: built-in, ETC/environment.yaml,
 * ETC/snapctld.yaml, ETC/instance.yaml (or the file of --config),
 * environment, flags.  Each value remembers the layer, file and line it came
 * from.  ETC is /etc/snapctl for root, $XDG_CONFIG_HOME/snapctl for others,
 * and $SNAPCTL_ETC where that is set (tests).
 *
 * Files that do not exist are no error, but one named with --config is.
 * Loading reads files; it creates and changes nothing.
 */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "service/problem.h"

enum config_key {
	CONFIG_STATE,		    /* text: folder of the catalog */
	CONFIG_KEYS,		    /* text: folder of key files */
	CONFIG_CACHE,		    /* text: folder of caches */
	CONFIG_SOCKET,		    /* text: path of the unix socket */
	CONFIG_GROUP,		    /* text: its group */
	CONFIG_LOG_LEVEL,	    /* choice: error, warn, info, debug */
	CONFIG_TICK,		    /* clock: how often the timetable is read */
	CONFIG_CONCURRENCY,	    /* number: runs at once on this host */
	CONFIG_STOP_TIMEOUT,	    /* clock: what a stop grants to runs */
	CONFIG_GRACE,		    /* clock: deleted, yet restorable */
	CONFIG_COOLING_OFF,	    /* clock: before a shortening deletes */
	CONFIG_VERIFY_BUDGET,	    /* size: bytes to verify in one run */
	CONFIG_REQUEST_BYTES,	    /* size: the largest request */
	CONFIG_REQUEST_TIMEOUT,	    /* clock: the longest request */
	CONFIG_REQUEST_CONNECTIONS, /* number: connections at once */
	CONFIG_CONFINE,		    /* choice: on, off */
	CONFIG_KEY_COUNT
};

enum config_type {
	CONFIG_TEXT,
	CONFIG_PATH,   /* absolute */
	CONFIG_CHOICE, /* one of choices */
	CONFIG_NUMBER,
	CONFIG_SIZE,
	CONFIG_CLOCK, /* a clock duration */
};

struct config_setting {
	const char *key;  /* in files: "logLevel" */
	const char *env;  /* "SNAPCTL_LOG_LEVEL" */
	const char *flag; /* "log-level": --log-level VALUE */
	enum config_type type;
	const char *fallback; /* for root; see config_write() for others */
	const char *choices;  /* "error|warn|info|debug" */
	int64_t min, max;     /* in ms, bytes or units */
	const char *doc;      /* one clause */
};

/* The nth row of the table, in its order; NULL past the end. */
const struct config_setting *config_setting(size_t n);
/* The setting with this flag, or -1. */
int config_flag_named(const char *flag) NONNULL(1);

enum config_layer {
	CONFIG_LAYER_BUILT_IN,
	CONFIG_LAYER_ENVIRONMENT_FILE,
	CONFIG_LAYER_DAEMON_FILE,
	CONFIG_LAYER_INSTANCE_FILE,
	CONFIG_LAYER_ENVIRONMENT,
	CONFIG_LAYER_FLAG,
};

struct config_flag {
	enum config_key key;
	const char *text;
};

/* Where to load from; the caller's process, unless a test says otherwise. */
struct config_input {
	const char *config_file; /* --config, or NULL */
	const struct config_flag *flags;
	size_t flag_count;
	char *const *environment; /* "NAME=VALUE", …, NULL; as environ */
	uid_t uid;
	bool flags_only; /* no files, no variables: a run's process */
	/* The client of a user who is not root falls back on the system's
	 * socket where there is none of the user's own; a daemon never. */
	bool daemon;
};

struct config;

/*
 * Load all layers.  Whatever is wrong is added to problems, all of it; with
 * an error among them -1 and ERR_USAGE (warnings alone do not fail).
 */
int config_load(const struct config_input *in, struct config **ret,
		struct problem_list *problems, struct err *e)
	NONNULL(1, 2, 3, 4) MUST_CHECK;
void config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free);

/* Values; asking for another type than the table gives is a bug, asserted. */
const char *config_text(const struct config *c, enum config_key key) NONNULL(1)
	RETURNS_NONNULL;
int64_t config_number(const struct config *c, enum config_key key) NONNULL(1);
int64_t config_ms(const struct config *c, enum config_key key) NONNULL(1);
uint64_t config_bytes(const struct config *c, enum config_key key) NONNULL(1);
/* Any value as it would be written in a file. */
const char *config_value(const struct config *c, enum config_key key) NONNULL(1)
	RETURNS_NONNULL;
enum config_layer config_layer_of(const struct config *c, enum config_key key)
	NONNULL(1);
const char *config_layer_name(enum config_layer layer) RETURNS_NONNULL;

/*
 * `config show`: [{"key","value"}], with origin [{"key","value","layer",
 * "file","line"}]; file is null for built-in values, and the variable or
 * the flag by its name for those.
 */
void config_write(const struct config *c, bool origin, struct json *j)
	NONNULL(1, 3);
/*
 * `config check`: {"ok":bool,"files":[…read…],"problems":[…]}.  Returns
 * whether it is without errors in *ret_ok; -1 only for want of memory.
 */
int config_check(const struct config_input *in, struct json *j, bool *ret_ok,
		 struct err *e) NONNULL(1, 2, 3, 4) MUST_CHECK;

/* The settings as documentation: [{"key","env","flag","type","default",
 * "doc"}]. */
void config_describe(struct json *j) NONNULL(1);

#endif
