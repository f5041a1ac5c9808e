/*
 * What a run that may have been taken over asks the starter for: first a byte
 * that says which, then the request or the plan.  What it grants is, word by
 * word, one of the few things that these sources declare, looked up in a list
 * that shares no code with ours.
 */
#include <jansson.h>

#include "service/resource.h"
#include "service/starter.h"
#include "tests/support/fuzz.h"

#define SOURCES 3

/* Their name ends in 16 digits. */
#define NAME_HEAD   "snapctl-disk-"
#define NAME_DIGITS 16

static struct resource *sources[SOURCES];
static const struct run run = { .sources = sources, .source_count = SOURCES };

static const struct {
	const char *name, *spec;
} specs[SOURCES] = {
	{ "tree",
	  "{\"type\":\"files\",\"paths\":[\"/etc\"],\"hooks\":["
	  "{\"when\":\"before\",\"argv\":[\"/bin/freeze\",\"/srv\"]},"
	  "{\"when\":\"after\",\"argv\":[\"/bin/thaw\"],\"user\":\"root\"}]}" },
	{ "dump", "{\"type\":\"command\",\"argv\":[\"/bin/dump\",\"shop\"],"
		  "\"user\":\"pg\",\"environment\":[\"PGHOST=/run/pg\"]}" },
	{ "disk",
	  "{\"type\":\"volume\",\"paths\":[\"/d\"],\"content\":\"files\","
	  "\"create\":[\"/bin/lv\",\"-n{}\",\"/v/{}\"],"
	  "\"locate\":[\"/bin/where\"],\"remove\":[\"/bin/rm\",\"{}x{}\"]}" },
};

/* What may be started: a word with "{}" in it has a name there. */
static const struct {
	bool is_hook;
	const char *when, *user;
	const char *words[4];
	const char *environment;
} granted[] = {
	{ .words = { "/bin/dump", "shop" },
	  .user = "pg",
	  .environment = "PGHOST=/run/pg" },
	{ .words = { "/bin/where", "{}" } },
	{ true, "before", NULL, { "/bin/freeze", "/srv" }, NULL },
	{ true, "after", "root", { "/bin/thaw" }, NULL },
	{ true, "before", NULL, { "/bin/lv", "-n{}", "/v/{}" }, NULL },
	{ true, "always", NULL, { "/bin/rm", "{}x{}" }, NULL },
};

static void make_sources(void)
{
	for (size_t i = 0; i < SOURCES && !sources[i]; i++) {
		const struct resource_form form = { .kind = "Source",
						    .name = specs[i].name,
						    .spec_json =
							    specs[i].spec };
		struct err e;

		FUZZ_PROMISE(resource_from_form(&form, &sources[i], &e) == 0);
	}
}

/* Every name in the words is replaced by "{}"; they have to be the same one. */
static bool take_name_out(char *word, char *name)
{
	const size_t n = strlen(NAME_HEAD) + NAME_DIGITS;
	char *at;

	while ((at = strstr(word, NAME_HEAD))) {
		if (strlen(at) < n || (*name && strncmp(at, name, n) != 0) ||
		    strspn(at + strlen(NAME_HEAD), "0123456789abcdef") <
			    NAME_DIGITS)
			return false;
		memcpy(name, at, n);
		memcpy(at, "{}", 2);
		memmove(at + 2, at + n, strlen(at + n) + 1);
	}
	return true;
}

static bool are_words(const json_t *argv, const char *const words[4])
{
	char name[64] = "";
	bool same = true;
	size_t i;

	for (i = 0; same && i < json_array_size(argv); i++) {
		const char *text = json_string_value(json_array_get(argv, i));
		char *word = text ? strdup(text) : NULL;

		/* A hole is to be filled in. */
		same = i < 4 && words[i] && word && !strstr(word, "{}") &&
		       take_name_out(word, name) && strcmp(word, words[i]) == 0;
		free(word);
	}
	return same && i > 0 && (i == 4 || !words[i]);
}

static bool is_text(const json_t *value, const char *text)
{
	const char *have = json_string_value(value);

	return have == text || (have && text && strcmp(have, text) == 0);
}

static bool is_granted(const json_t *asked, bool is_hook)
{
	const json_t *environment = json_object_get(asked, "environment");

	for (size_t i = 0; i < sizeof(granted) / sizeof(*granted); i++)
		if (granted[i].is_hook == is_hook &&
		    are_words(json_object_get(asked, "argv"),
			      granted[i].words) &&
		    is_text(json_object_get(asked, "user"), granted[i].user) &&
		    (!is_hook || is_text(json_object_get(asked, "when"),
					 granted[i].when)) &&
		    (is_hook || (json_array_size(environment) ==
					 (granted[i].environment ? 1 : 0) &&
				 is_text(json_array_get(environment, 0),
					 granted[i].environment))))
			return true;
	return false;
}

static bool are_granted(const json_t *hooks)
{
	for (size_t i = 0; i < json_array_size(hooks); i++)
		if (!is_granted(json_array_get(hooks, i), true))
			return false;
	return json_array_size(hooks) > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	json_t *asked;
	char *text;

	make_sources();
	if (n == 0)
		return 0;
	text = fuzz_text(bytes + 1, n - 1);
	asked = json_loads(text, 0, NULL);
	if (bytes[0] % 2)
		FUZZ_PROMISE(starter_may_guard(&run, text) ==
			     are_granted(json_object_get(asked, "hooks")));
	else
		FUZZ_PROMISE(starter_may_start(&run, text) ==
			     is_granted(asked, false));
	json_decref(asked);
	free(text);
	return 0;
}
