#include "service/resource_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "service/mask.h"
#include "storage/sources/command.h"
#include "storage/sources/exclude.h"

/*
 * The drivers of this version, each with the key that it needs and the others
 * that are its own.  A new driver adds a row, and its fields to the table
 * below; driver.c reads them.
 */
static const struct driver_keys {
	const char *name;
	const char *needs;
	const char *one; /* what the one path is; NULL: there may be more */
	const char *takes[10];
} drivers[] = {
	{ "files", "paths", NULL, { "exclude", "text", "mask" } },
	{ "command",
	  "argv",
	  NULL,
	  { "environment", "user", "file", "timeout", "minSize" } },
	{ "block", "paths", "device or image", { "file" } },
	{ "btrfs", "paths", "subvolume", { "exclude", "text", "mask" } },
	{ "volume",
	  "paths",
	  "path",
	  { "content", "create", "locate", "remove", "timeout", "exclude",
	    "text", "mask", "file" } },
};

static int check_type(struct reading *r, const struct yaml_node *node,
		      const char **text)
{
	char known[160] = "";
	size_t used = 0;

	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		int k;

		if (strcmp(*text, drivers[i].name) == 0)
			return 0;
		k = snprintf(known + used, sizeof(known) - used, "%s%s",
			     used ? ", " : "", drivers[i].name);
		used += k > 0 ? (size_t)k : 0;
	}
	problem_add(r->problems, yaml_place(r->y, node),
		    "found the source type %s, expected one that this version "
		    "knows: %s",
		    text_quote_str(*text).s, known);
	return 0;
}

/* One slash at the end stays: a symlink is then followed (files.h). */
static int check_path(struct reading *r, const struct yaml_node *node,
		      const char **text)
{
	const char *p = *text;
	size_t n = strlen(p);
	char *clean;

	while (n > 1 && p[n - 1] == '/' && p[n - 2] == '/')
		n--;
	clean = arena_text(r->arena, p, n, r->e);
	if (clean == NULL)
		return -1;
	*text = clean;
	if (strcmp(clean, "/") == 0)
		return 0;
	for (p = clean; *p == '/' && (p == clean || p[1]); p += n) {
		n = strcspn(++p, "/");
		if (n == 0 || (n == 1 && p[0] == '.') ||
		    (n == 2 && memcmp(p, "..", 2) == 0))
			break;
	}
	if (p == clean || (*p && strcmp(p, "/") != 0))
		resource_field_expected(
			r, node, "an absolute path, without . and .. and //");
	return 0;
}

static int check_exclude(struct reading *r, const struct yaml_node *node,
			 const char **text)
{
	CLEANUP(exclude_free) struct exclude *set = NULL;
	struct err why;

	if (r->stored)
		return 0;
	if ((*text)[0] == '\0')
		return resource_field_check_text(r, node, text);
	if (exclude_new(&set, r->e) < 0)
		return -1;
	if (exclude_add(set, *text, &why) == 0)
		return 0;
	if (why.code == ERR_USAGE) {
		problem_add(r->problems, yaml_place(r->y, node), "%s",
			    why.text);
		if (why.hint[0])
			problem_mend(r->problems, "%s", why.hint);
		return 0;
	}
	*r->e = why;
	return -1;
}

static int check_mask(struct reading *r, const struct yaml_node *node,
		      const char **text)
{
	CLEANUP(mask_free) struct mask *m = NULL;
	struct err why = { 0 };

	if (r->stored)
		return 0;
	if (mask_new(&m, r->e) < 0)
		return -1;
	if (mask_add(m, *text, &why) == 0)
		return 0;
	if (why.code == ERR_USAGE) {
		problem_add(r->problems, yaml_place(r->y, node), "%s",
			    why.text);
		return 0;
	}
	*r->e = why;
	return -1;
}

static int check_file(struct reading *r, const struct yaml_node *node,
		      const char **text)
{
	if (!source_name_valid(*text))
		resource_field_expected(r, node,
					"the name of a file, without \"/\"");
	return 0;
}

/* KEY=VALUE, where KEY is what shells call a name. */
static int check_variable(struct reading *r, const struct yaml_node *node,
			  const char **text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_";
	const size_t n = strspn(*text, allowed);

	if (n == 0 || (*text)[n] != '=' ||
	    ((*text)[0] >= '0' && (*text)[0] <= '9'))
		resource_field_expected(r, node, "KEY=VALUE");
	return 0;
}

static int check_user(struct reading *r, const struct yaml_node *node,
		      const char **text)
{
	const char *p = *text;
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	if (*p == '\0' || *p == '-' || strlen(p) > 32 ||
	    p[strspn(p, allowed)] != '\0')
		resource_field_expected(r, node, "the name of a user");
	return 0;
}

static const struct field hook_fields[] = {
	{ .key = "when",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = offsetof(struct resource_hook, when),
	  .choices = "before|after|always",
	  .doc = "before the snapshot, in order, until one fails; after it, "
		 "once, when any before it may have had its effect; always at "
		 "the end" },
	{ .key = "argv",
	  .type = FIELD_TEXTS,
	  .required = true,
	  .offset = offsetof(struct resource_hook, argv),
	  .doc = "the program and its arguments; no shell" },
	{ .key = "timeout",
	  .type = FIELD_CLOCK,
	  .offset = offsetof(struct resource_hook, timeout_ms),
	  .fallback = "1m",
	  .min = 1000,
	  .max = INT64_C(86400) * 1000,
	  .doc = "it is killed after this time" },
	{ .key = "user",
	  .type = FIELD_TEXT,
	  .offset = offsetof(struct resource_hook, user),
	  .check = check_user,
	  .doc = "run as this user" },
	{ 0 }
};

#define MEMBER(m) offsetof(struct resource, source.m)
static const struct field fields[] = {
	{ .key = "type",
	  .type = FIELD_TEXT,
	  .required = true,
	  .offset = MEMBER(type),
	  .check = check_type,
	  .doc = "the driver that reads it: files, command, block, btrfs, "
		 "volume" },
	{ .key = "paths",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(paths),
	  .check = check_path,
	  .doc = "files: what is protected; absolute paths; a symlink is "
		 "followed when a / ends it; block: the one device or image; "
		 "btrfs: the one subvolume; volume: the one path that it is "
		 "recorded as, where it is mounted" },
	{ .key = "exclude",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(exclude),
	  .check = check_exclude,
	  .doc = "files, btrfs, volume: patterns of what is left out, as in "
		 ".gitignore" },
	{ .key = "text",
	  .type = FIELD_BOOL,
	  .offset = MEMBER(text),
	  .fallback = "false",
	  .doc = "files, btrfs, volume: configuration; each run tells what changed since "
		 "the last, line by line, secrets masked" },
	{ .key = "mask",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(mask),
	  .check = check_mask,
	  .doc = "text: what else is masked: POSIX extended regular "
		 "expressions, matched line by line; the first group, or "
		 "all of it" },
	{ .key = "content",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(content),
	  .fallback = "files",
	  .choices = "files|block",
	  .doc = "volume: how its snapshot is read, as a folder's files or as "
		 "one device or image" },
	{ .key = "create",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(create),
	  .doc = "volume: the program that takes a snapshot of it, and its "
		 "arguments, where {} stands for the snapshot's name, which "
		 "else comes last; no shell" },
	{ .key = "locate",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(locate),
	  .doc = "volume: the program that prints where that snapshot can be "
		 "read, mounting it if need be: one line, an absolute path" },
	{ .key = "remove",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(remove),
	  .doc = "volume: the program that removes it again; it succeeds when "
		 "there is none of that name, too" },
	{ .key = "argv",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(argv),
	  .doc = "command: the program whose standard output is the "
		 "snapshot, and its arguments; no shell" },
	{ .key = "environment",
	  .type = FIELD_TEXTS,
	  .offset = MEMBER(environment),
	  .check = check_variable,
	  .doc = "command: KEY=VALUE beside PATH, LANG, HOME, USER, LOGNAME; "
		 "nothing secret, for everybody who reads manifests sees it" },
	{ .key = "user",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(user),
	  .check = check_user,
	  .doc = "command: run it as this user" },
	{ .key = "file",
	  .type = FIELD_TEXT,
	  .offset = MEMBER(file),
	  .check = check_file,
	  .doc = "command, block, volume: what its stream is called in the "
		 "snapshot; "
		 "\"stdout\", or as the device, when absent" },
	{ .key = "timeout",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(timeout_ms),
	  .fallback = RESOURCE_SOURCE_TIMEOUT,
	  .min = 1000,
	  .max = INT64_C(31) * 86400 * 1000,
	  .doc = "command, volume: the program is killed after this time, "
		 "and there is no snapshot" },
	{ .key = "minSize",
	  .type = FIELD_SIZE,
	  .offset = MEMBER(min_size),
	  .fallback = RESOURCE_SOURCE_MIN_SIZE,
	  .doc = "command: when it prints less, there is no snapshot" },
	{ .key = "hooks",
	  .type = FIELD_MAPS,
	  .offset = MEMBER(hooks),
	  .count_offset = MEMBER(hook_count),
	  .fields = hook_fields,
	  .size = sizeof(struct resource_hook),
	  .doc = "programs around a snapshot that a schedule takes, to "
		 "quiesce and to thaw" },
	{ .key = "quiesceLimit",
	  .type = FIELD_CLOCK,
	  .offset = MEMBER(quiesce_limit_ms),
	  .fallback = "1h",
	  .min = 1000,
	  .max = INT64_C(31) * 86400 * 1000,
	  .doc = "hooks: what is due after the snapshot is done after this "
		 "time in any case, and there is no snapshot then" },
	{ 0 }
};

/* argv[0] is executed as it stands, so a bare name would depend on PATH. */
static void check_argv(struct reading *r, const struct resource_texts *argv,
		       const struct yaml_node *list)
{
	if (argv->count > 0 && list->first->kind == YAML_TEXT &&
	    argv->items[0][0] != '/')
		resource_field_expected(r, list->first,
					"the absolute path of a program");
}

static void check_hooks(struct reading *r, const struct resource_source *s,
			const struct yaml_node *list)
{
	const struct yaml_node *node = list->first;

	for (size_t i = 0; i < s->hook_count; i++, node = node->next)
		check_argv(r, &s->hooks[i].argv, yaml_get(node, "argv"));
}

static bool is_of(const struct driver_keys *d, const char *key)
{
	for (size_t i = 0; d->takes[i]; i++)
		if (strcmp(d->takes[i], key) == 0)
			return true;
	return strcmp(d->needs, key) == 0;
}

/* "files or block": who looks at that key. */
static void name_takers(const char *key, char out[80])
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		int k;

		if (!is_of(&drivers[i], key))
			continue;
		k = snprintf(out + used, 80 - used, "%s%s", used ? " or " : "",
			     drivers[i].name);
		used += k > 0 ? (size_t)k : 0;
	}
}

/* What only another driver would look at was meant for something. */
static void check_stray(struct reading *r, const struct driver_keys *mine,
			const char *key, const struct yaml_node *spec)
{
	const struct yaml_node *node = yaml_get(spec, key);
	char takers[80];

	if (!node || is_of(mine, key))
		return;
	name_takers(key, takers);
	problem_add(r->problems, yaml_key_place(r->y, node),
		    "found \"%s\", expected it only in a source of type %s",
		    key, takers);
}

static bool is_common(const char *key)
{
	return strcmp(key, "type") == 0 || strcmp(key, "hooks") == 0 ||
	       strcmp(key, "quiesceLimit") == 0;
}

static void check_keys(struct reading *r, const struct driver_keys *mine,
		       const struct yaml_node *spec)
{
	const struct yaml_node *needed = yaml_get(spec, mine->needs);

	if (!needed || (needed->kind == YAML_LIST && needed->count == 0))
		problem_add(
			r->problems, yaml_place(r->y, needed ? needed : spec),
			"found no %s, expected at least one in spec.%s",
			strcmp(mine->needs, "paths") == 0 ? "path" : "program",
			mine->needs);
	if (mine->one && needed && needed->kind == YAML_LIST &&
	    needed->count > 1)
		problem_add(r->problems, yaml_place(r->y, needed),
			    "found %zu paths, expected the one %s",
			    needed->count, mine->one);
	for (const struct field *f = fields; f->key; f++)
		if (!is_common(f->key))
			check_stray(r, mine, f->key, spec);
}

/* A provider is all three of them. */
static void check_provider(struct reading *r, const struct resource_source *s,
			   const struct yaml_node *spec)
{
	const struct {
		const char *key;
		const struct resource_texts *argv;
	} programs[] = {
		{ "create", &s->create },
		{ "locate", &s->locate },
		{ "remove", &s->remove },
	};

	for (size_t i = 0; i < 3; i++) {
		const struct yaml_node *node = yaml_get(spec, programs[i].key);

		if (programs[i].argv->count > 0)
			check_argv(r, programs[i].argv, node);
		else
			problem_add(r->problems,
				    yaml_place(r->y, node ? node : spec),
				    "found no program, expected one in "
				    "spec.%s",
				    programs[i].key);
	}
}

/* What only the other content would look at was meant for something. */
static void check_content(struct reading *r, const struct resource_source *s,
			  const struct yaml_node *spec)
{
	static const struct {
		const char *content;
		const char *key;
	} only[] = {
		{ "files", "exclude" },
		{ "files", "text" },
		{ "files", "mask" },
		{ "block", "file" },
	};

	for (size_t i = 0; i < sizeof(only) / sizeof(*only); i++) {
		const struct yaml_node *node = yaml_get(spec, only[i].key);

		if (node && s->content &&
		    strcmp(s->content, only[i].content) != 0)
			problem_add(r->problems, yaml_key_place(r->y, node),
				    "found \"%s\", expected it only with "
				    "content: %s",
				    only[i].key, only[i].content);
	}
}

static void check_masks(struct reading *r, const struct resource_source *s,
			const struct yaml_node *list)
{
	if (s->mask.count > MASK_PATTERNS)
		problem_add(r->problems, yaml_place(r->y, list),
			    "found %zu patterns, expected at most %d",
			    s->mask.count, MASK_PATTERNS);
	if (!s->text && !r->stored)
		problem_add(r->problems, yaml_key_place(r->y, list),
			    "found \"mask\", expected it only with text: true");
}

static int finish(struct reading *r, struct resource *res,
		  const struct yaml_node *spec)
{
	const struct resource_source *s = &res->source;

	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++)
		if (s->type && strcmp(s->type, drivers[i].name) == 0)
			check_keys(r, &drivers[i], spec);
	if (s->type && strcmp(s->type, "volume") == 0) {
		check_provider(r, s, spec);
		check_content(r, s, spec);
	}
	if (s->mask.count > 0)
		check_masks(r, s, yaml_get(spec, "mask"));
	if (s->argv.count > 0)
		check_argv(r, &s->argv, yaml_get(spec, "argv"));
	if (s->hook_count > 0)
		check_hooks(r, s, yaml_get(spec, "hooks"));
	return 0;
}

const struct resource_type resource_source_type = {
	.name = "Source",
	.plural = "sources",
	.fields = fields,
	.finish = finish,
};
