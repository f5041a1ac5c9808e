#include "service/run_confine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "service/own_folders.h"
#include "service/starter.h"
#include "storage/stores/store.h"

/* Libraries that are loaded late, accounts, zones, certificates, the kernel. */
static const char *const system_folders[] = {
	"/usr", "/lib", "/lib64", "/etc", "/proc",	"/sys",
	"/dev", "/run", "/opt",	  "/nix", "/gnu/store",
};

/* What the commands of a drill may use beyond what was restored. */
static const char *const for_commands[] = {
	"/tmp",	     "/var/tmp",  "/dev/shm", "/dev/pts",
	"/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx",
};

struct places {
	struct sandbox_place *v;
	size_t n, room;
	char *copies[64]; /* of paths that nobody else keeps */
	size_t n_copies;
};

static void places_done(struct places *p)
{
	for (size_t i = 0; i < p->n_copies; i++)
		free(p->copies[i]);
	free(p->v);
}

static int add(struct places *p, const char *path, unsigned int rights,
	       struct err *e)
{
	if (!path || !*path)
		return 0;
	if (p->n == p->room) {
		const size_t room = p->room ? 2 * p->room : 32;
		struct sandbox_place *more = reallocarray(p->v, room,
							  sizeof(*more));

		if (!more)
			return err_oom(e);
		p->v = more;
		p->room = room;
	}
	p->v[p->n++] = (struct sandbox_place){ path, rights };
	return 0;
}

static int add_all(struct places *p, const char *const *paths, size_t n,
		   unsigned int rights, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (add(p, paths[i], rights, e) < 0)
			return -1;
	return 0;
}
#define ADD_ALL(p, paths, rights, e) \
	add_all(p, paths, sizeof(paths) / sizeof(*(paths)), rights, e)

/* ---- What a step needs -------------------------------------------------- */

static bool has_commands(const struct resource *drill)
{
	for (size_t i = 0; drill && i < drill->drill.check_count; i++)
		if (strcmp(drill->drill.checks[i].type, "command") == 0)
			return true;
	return false;
}

static enum run_confinement level_of(const struct run *r,
				     const struct run_step *step, size_t source)
{
	if (r->drill)
		return has_commands(r->drill) ? RUN_READS : RUN_CONFINED;
	if (!step->for_each_source)
		return RUN_CONFINED;
	/* It could not be had: they are to run all the same. */
	for (size_t i = source; i < r->source_count && !starter_is_there(); i++)
		if (starter_is_needed_for(&r->sources[i]->source))
			return RUN_FREE;
	return RUN_READS;
}

/* ---- Its places --------------------------------------------------------- */

/* What tests tell a run by, which is nobody's in a release. */
static int add_for_tests(struct places *p, char folder[4096], struct err *e)
{
#ifdef SNAPCTL_TEST_HOOKS
	const char *clock = getenv("SNAPCTL_TEST_CLOCK");
	char *slash;

	if (!clock || clock[0] != '@')
		return 0;
	(void)snprintf(folder, 4096, "%s", clock + 1);
	slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
	return add(p, folder, SANDBOX_READ, e);
#else
	(void)p;
	folder[0] = '\0';
	(void)e;
	return 0;
#endif
}

/* A drill's folder may be a link to a larger disk. */
static int add_drills(struct places *p, const struct run *r, char drills[4096],
		      struct err *e)
{
	const unsigned int all = SANDBOX_READ | SANDBOX_WRITE | SANDBOX_SPECIAL;
	const char *state = config_text(r->config, CONFIG_STATE);

	(void)snprintf(drills, 4096, "%s/drills", state);
	if (add(p, state, all, e) < 0 || add(p, drills, all, e) < 0)
		return -1;
	return has_commands(r->drill) ? ADD_ALL(p, for_commands, all, e) : 0;
}

static int add_own(struct places *p, const struct own_folders *own,
		   struct err *e)
{
	const unsigned int all = SANDBOX_READ | SANDBOX_WRITE;
	const char *temporary = getenv("TMPDIR");

	for (size_t i = 0; i < own->count; i++)
		if (add(p, own->paths[i], all, e) < 0)
			return -1;
	/* As file_open_unnamed() has it. */
	return add(p, temporary && *temporary ? temporary : "/var/tmp", all,
		   e) < 0 || add(p, "/dev/null", all, e) < 0
		       ? -1
		       : 0;
}

static int add_copy(struct places *p, const char *path, struct err *e)
{
	if (p->n_copies == sizeof(p->copies) / sizeof(p->copies[0]))
		return 0; /* more than any region has: it says what it lacks */
	p->copies[p->n_copies] = strdup(path);
	if (!p->copies[p->n_copies])
		return err_oom(e);
	return add(p, p->copies[p->n_copies++], SANDBOX_READ, e);
}

/* A folder that holds more than what belongs to a file in it. */
static bool is_everybodys(const char *folder)
{
	const char *home = getenv("HOME");

	if (!*folder || strchr(folder + 1, '/') == NULL)
		return true;
	if (strncmp(folder, "/home/", 6) == 0 && !strchr(folder + 6, '/'))
		return true;
	return home && strcmp(folder, home) == 0;
}

/*
 * Its folder, too: what is renewed there takes another's place, and in a
 * Kubernetes volume it is a link to a folder that changes.  But not one that is
 * a home, or as large: then it is the file alone, as it is now.
 */
static int add_with_folder(struct places *p, const char *path, struct err *e)
{
	char folder[4096];
	char *slash;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	return add_copy(p, is_everybodys(folder) ? path : folder, e);
}

static int add_file(void *arg, const char *path, struct err *e)
{
	struct places *p = arg;
	char *real = realpath(path, NULL);
	const int failed = add_with_folder(p, path, e) < 0 ||
			   (real && strcmp(real, path) != 0 &&
			    add_with_folder(p, real, e) < 0);

	free(real);
	return failed ? -1 : 0;
}

/* Credentials and certificates of regions that are elsewhere. */
static int add_files_of_regions(struct places *p, const struct run *r,
				struct err *e)
{
	const struct resource_repository *repository =
		&r->repository->repository;

	for (size_t i = 0; i < repository->region_count; i++) {
		CLEANUP(store_close) struct store *s = NULL;
		struct err why;

		if (run_is_without(r, repository->regions[i].name))
			continue;
		/* Why a region cannot be opened is its step's to say. */
		if (store_open(repository->regions[i].url, false, &s, &why) ==
			    0 &&
		    store_reads(s, add_file, p, e) < 0)
			return -1;
	}
	return 0;
}

/* A key may be a link to where it lies. */
static int add_readable(struct places *p, const struct run *r, char key[4096],
			struct err *e)
{
	const char *keys = config_text(r->config, CONFIG_KEYS);

	(void)snprintf(key, 4096, "%s/%s", keys,
		       r->repository->repository.key_file);
	return ADD_ALL(p, system_folders, SANDBOX_READ, e) < 0 ||
			       add(p, keys, SANDBOX_READ, e) < 0 ||
			       add(p, key, SANDBOX_READ, e) < 0 ||
			       add(p, getenv("TZDIR"), SANDBOX_READ, e) < 0
		       ? -1
		       : 0;
}

/* Its snapshot lies in a folder of its own there, made when it is needed. */
static int add_subvolumes(struct places *p, const struct run *r, struct err *e)
{
	for (size_t i = 0; i < r->source_count; i++) {
		const struct resource_source *s = &r->sources[i]->source;

		if (strcmp(s->type, "btrfs") == 0 &&
		    add(p, s->paths.items[0], SANDBOX_FOLDERS, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- What a drill shuts away -------------------------------------------- */

/* Whether path lies in one of the places that may be read, by their names. */
static bool is_open_to(const struct places *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++) {
		const size_t n = strlen(p->v[i].path);

		if ((p->v[i].rights & SANDBOX_READ) &&
		    strncmp(path, p->v[i].path, n) == 0 &&
		    (path[n] == '/' || path[n] == '\0'))
			return true;
	}
	return false;
}

/*
 * Whether none of the regions can be read: a folder that is in none of the
 * places, or one that is elsewhere, while there is no connecting.  They are not
 * touched to find out: one may hang.
 */
static bool are_shut_away(const struct run *r, const struct places *p,
			  const struct sandbox *s)
{
	const struct resource_repository *all = &r->repository->repository;

	for (size_t i = 0; i < all->region_count; i++) {
		const char *url = all->regions[i].url;
		const bool local = strncmp(url, "file:///", 8) == 0;

		if (!run_is_without(r, all->regions[i].name))
			continue;
		if (local ? strchr(url, '%') || is_open_to(p, url + 7)
			  : s->connects)
			return false;
	}
	return !s->reads;
}

/* ---- Giving it up ------------------------------------------------------- */

static int find_regions(const struct run *r, struct own_folders *own,
			struct err *e)
{
	const struct resource_repository *all = &r->repository->repository;

	for (size_t i = 0; i < all->region_count; i++)
		if (!run_is_without(r, all->regions[i].name) &&
		    own_folders_add_region(own, &all->regions[i], e) < 0)
			return -1;
	return 0;
}

/* State, cache and regions; those that are on this machine. */
static int find_own(const struct run *r, struct own_folders *own, struct err *e)
{
	const char *cache = config_text(r->config, CONFIG_CACHE);
	struct err ignored;

	/* Where there is none, what wants it could not make it later. */
	(void)!file_make_folders(cache, 0700, &ignored);
	return own_folders_add_path(own, config_text(r->config, CONFIG_STATE),
				    e) < 0 ||
			       own_folders_add_path(own, cache, e) < 0 ||
			       find_regions(r, own, e) < 0
		       ? -1
		       : 0;
}

/* Whether it holds; if not, the next step tries again. */
static bool enter(struct run *r, const struct sandbox *s,
		  const struct places *p)
{
	struct sandbox_state state = { 0 };
	struct err e = { 0 };
	char text[SANDBOX_TEXT];
	const bool entered = sandbox_enter(s, &state, &e) == 0;

	if (!entered)
		log_failure(LOG_LEVEL_WARN,
			    "the run is not confined as it "
			    "should be",
			    &e);
	r->shuts_away = entered && state.landlock > 0 && are_shut_away(r, p, s);
	sandbox_tell(&state, text);
	log_event(r->confinement == RUN_FREE ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
		  "confined by %s: it writes to its own folders%s%s", text,
		  s->reads ? "" : ", and reads little else",
		  s->executes ? "" : ", and starts no programs itself");
	return entered;
}

static int confine(struct run *r, enum run_confinement level,
		   const struct own_folders *own, struct err *e)
{
	struct places p = { 0 };
	char folder[4096], key[4096], drills[4096];
	const size_t without = r->drill ? r->drill->drill.without.count : 0;
	struct sandbox s = {
		.reads = level == RUN_READS,
		.executes = has_commands(r->drill),
		.attributes = r->drill != NULL,
		/* A region that is elsewhere, or cannot be asked now. */
		.connects = own->count <
			    2 + r->repository->repository.region_count -
				    without,
	};
	const int failed = add_own(&p, own, e) < 0 ||
			   (r->drill && add_drills(&p, r, drills, e) < 0) ||
			   add_for_tests(&p, folder, e) < 0 ||
			   add_readable(&p, r, key, e) < 0 ||
			   add_files_of_regions(&p, r, e) < 0 ||
			   add_subvolumes(&p, r, e) < 0;
	bool entered = false;

	s.places = p.v;
	s.place_count = p.n;
	if (!failed)
		entered = enter(r, &s, &p);
	places_done(&p);
	if (entered)
		r->confinement = level;
	return failed ? -1 : 0;
}

/* One of which no rule can be made would be lost to the run. */
static bool are_known(const struct own_folders *own)
{
	for (size_t i = 0; i < own->count; i++)
		if (!own->paths[i])
			return false;
	return true;
}

int run_confine(struct run *r, const struct run_step *step, size_t source,
		struct err *e)
{
	const enum run_confinement level = level_of(r, step, source);
	struct own_folders own = { 0 };
	int failed;

	if (!r->confines || level <= r->confinement)
		return 0;
	failed = find_own(r, &own, e) < 0;
	if (!failed && !are_known(&own))
		log_event(LOG_LEVEL_WARN,
			  "the run is not confined: where a "
			  "folder of its own lies is not known");
	else if (!failed)
		failed = confine(r, level, &own, e) < 0;
	own_folders_done(&own);
	return failed ? -1 : 0;
}

void run_confine_announce(const struct config *config)
{
	struct sandbox_state state;
	char text[SANDBOX_TEXT];

	if (strcmp(config_text(config, CONFIG_CONFINE), "on") != 0) {
		log_event(LOG_LEVEL_WARN, "runs are not confined: the setting "
					  "\"confine\" is off");
		return;
	}
	sandbox_probe(&state);
	sandbox_tell(&state, text);
	log_event(LOG_LEVEL_INFO, "runs are confined by %s%s", text,
		  state.landlock ? "" : "; this kernel has no Landlock");
}
