#include "service/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/seam.h"
#include "base/text.h"
#include "service/catalog.h"
#include "service/drill_scratch.h"
#include "service/hooks.h"
#include "service/http.h"
#include "service/listener.h"
#include "service/notify.h"
#include "service/run_confine.h"
#include "service/scheduler.h"
#include "service/supervisor.h"
#include "service/volume.h"

/* Operations of the API at once; they wait for the disk, not for each other. */
enum { WORKERS = 4 };

/* What did not work is tried again after this; strays are looked for. */
enum { RETRY_MS = 5000, RECOVER_EVERY_MS = 60000 };

struct daemon {
	const struct daemon_settings *settings;
	struct config *reloaded; /* by SIGHUP, or NULL */
	int lock_fd;
	int signal_fd;
	int wake_fd;
	char catalog_path[4096];
	char host[256];
	char boot_id[40];
	bool listening;
	struct listener_file socket;
	struct catalog *catalog;
	struct supervisor *supervisor;
	struct scheduler *scheduler;
	struct http *http;
	int64_t recovered_ms;
	int64_t tick_ms; /* boot time of the next tick at the latest */
	bool stopping;
};

static const struct config *config_of(const struct daemon *d)
{
	return d->reloaded ? d->reloaded : d->settings->config;
}

/* ---- Starting ----------------------------------------------------------- */

/* Two daemons on one catalog would both be right, and both wrong. */
static int lock_state(struct daemon *d, const char *state, struct err *e)
{
	char path[4096];

	if (file_make_folders(state, 0700, e) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/snapctld.lock", state);
	d->lock_fd = seam_open(
		AT_FDCWD, path,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (d->lock_fd < 0)
		return err_sys(e, "cannot open %s", text_quote_str(path).s);
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return err_sys(e, "cannot lock %s", text_quote_str(path).s);
	(void)err_set(e, ERR_BUSY, "another snapctld works on %s",
		      text_quote_str(state).s);
	return err_hint(e, "\"snapctl status\" asks it; a second one needs a "
			   "state folder of its own");
}

static int read_boot_id(struct daemon *d, struct err *e)
{
	CLEANUP(buf_done) struct buf text;

	buf_init(&text, sizeof(d->boot_id));
	if (file_read_all("/proc/sys/kernel/random/boot_id", &text, e) < 0)
		return err_wrap(e, "cannot tell this boot from others");
	(void)snprintf(d->boot_id, sizeof(d->boot_id), "%.*s",
		       (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
	return 0;
}

/* A thousand idle clients must not keep the catalog from opening. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

/*
 * A connection may need a second descriptor, for a long reply; what is kept
 * back is for the catalog's handles, the runs and their logs.
 */
static unsigned int most_connections(const struct config *c)
{
	const rlim_t kept = 128;
	const rlim_t wanted = (rlim_t)config_number(c,
						    CONFIG_REQUEST_CONNECTIONS);
	struct rlimit files;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return (unsigned int)wanted;
	most = files.rlim_cur > kept + 2 ? (files.rlim_cur - kept) / 2 : 1;
	if (wanted <= most)
		return (unsigned int)wanted;
	log_event(LOG_LEVEL_WARN,
		  "%llu connections at once, not %llu: the limit of open files "
		  "is %llu",
		  (unsigned long long)most, (unsigned long long)wanted,
		  (unsigned long long)files.rlim_cur);
	return (unsigned int)most;
}

static int open_signals(struct daemon *d, struct err *e)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGCHLD);
	/* Blocked before any thread is there, so that all inherit it. */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, "cannot block signals");
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->signal_fd < 0 || d->wake_fd < 0)
		return err_sys(e, "cannot wait for signals");
	return 0;
}

/* Any thread: the timetable changed. */
static void wake(void *arg)
{
	const struct daemon *d = arg;

	(void)eventfd_write(d->wake_fd, 1);
}

/* Every setting as a flag: a run reads no files of its own. */
static int tell_children(struct daemon *d, struct err *e)
{
	const struct config *c = config_of(d);
	char *flags[CONFIG_KEY_COUNT];
	size_t n = 0;
	int failed = 0;

	for (size_t i = 0; i < CONFIG_KEY_COUNT && !failed; i++) {
		const struct config_setting *s = config_setting(i);
		const struct config *from = c;
		const char *value;

		/* Places hold until the next start. */
		if (i == CONFIG_STATE || i == CONFIG_SOCKET)
			from = d->settings->config;
		value = config_value(from, (enum config_key)i);
		if (!*value)
			continue; /* built-in, and so for the child */
		if (asprintf(&flags[n], "--%s=%s", s->flag, value) < 0)
			failed = err_oom(e);
		else
			n++;
	}
	if (!failed)
		failed = supervisor_set_arguments(d->supervisor, flags, n, e);
	while (n > 0)
		free(flags[--n]);
	return failed;
}

static int start_scheduler(struct daemon *d, struct err *e)
{
	const struct config *c = config_of(d);
	char logs[4096];
	struct supervisor_settings children = {
		.log_folder = logs,
		.grace_ms = config_ms(c, CONFIG_STOP_TIMEOUT),
	};
	struct scheduler_settings timetable = {
		.host = d->host,
		.boot_id = d->boot_id,
		.host_max = (unsigned int)config_number(c, CONFIG_CONCURRENCY),
	};

	(void)snprintf(logs, sizeof(logs), "%s/runs",
		       config_text(c, CONFIG_STATE));
	if (supervisor_new(&children, &d->supervisor, e) < 0 ||
	    tell_children(d, e) < 0)
		return -1;
	timetable.catalog = d->catalog;
	timetable.supervisor = d->supervisor;
	if (scheduler_new(&timetable, &d->scheduler, e) < 0)
		return -1;
	d->recovered_ms = clock_boot_ms();
	return scheduler_recover(d->scheduler, clock_now(), d->recovered_ms, e);
}

static int start_api(struct daemon *d, struct err *e)
{
	const struct config *c = config_of(d);
	const struct http_settings settings = {
		.catalog_path = d->catalog_path,
		.config = d->settings->config,
		.wake = wake,
		.wake_arg = d,
		.body_bytes = (size_t)config_bytes(c, CONFIG_REQUEST_BYTES),
		.request_ms = config_ms(c, CONFIG_REQUEST_TIMEOUT),
		.connections = most_connections(c),
		.workers = WORKERS,
	};
	CLEANUP(file_close) int fd = -1;

	if (listener_open(config_text(c, CONFIG_SOCKET),
			  config_text(c, CONFIG_GROUP), &fd, &d->socket, e) < 0)
		return -1;
	d->listening = true;
	if (http_start(fd, &settings, &d->http, e) < 0)
		return -1;
	fd = -1;
	return 0;
}

/* What a drill that was killed had restored is nobody's to keep. */
static void clean_drills(const struct config *c)
{
	struct err e = { 0 };
	char parent[4096];

	(void)snprintf(parent, sizeof(parent), "%s/drills",
		       config_text(c, CONFIG_STATE));
	if (drill_scratch_clean(parent, &e) < 0)
		log_failure(LOG_LEVEL_WARN, "cannot clean up after drills", &e);
}

/* Nor is what a killed guardian left frozen to stay so. */
static void recover_hooks(const struct config *c)
{
	char folder[4096];

	(void)snprintf(folder, sizeof(folder), "%s/hooks",
		       config_text(c, CONFIG_STATE));
	hooks_recover(folder, false);
	volume_folder(config_text(c, CONFIG_STATE), folder);
	hooks_recover(folder, true);
}

static int start(struct daemon *d, struct err *e)
{
	const struct config *c = config_of(d);

	raise_limits();
	(void)snprintf(d->catalog_path, sizeof(d->catalog_path),
		       "%s/catalog.db", config_text(c, CONFIG_STATE));
	if (gethostname(d->host, sizeof(d->host) - 1) < 0)
		return err_sys(e, "cannot tell this host's name");
	if (lock_state(d, config_text(c, CONFIG_STATE), e) < 0 ||
	    read_boot_id(d, e) < 0 || open_signals(d, e) < 0 ||
	    catalog_open(d->catalog_path, &d->catalog, e) < 0 ||
	    start_scheduler(d, e) < 0)
		return -1;
	clean_drills(c);
	recover_hooks(c);
	return start_api(d, e);
}

/* ---- The loop ----------------------------------------------------------- */

static void reload(struct daemon *d)
{
	CLEANUP(problem_done) struct problem_list problems;
	struct config *fresh = NULL;
	struct err e;

	problem_init(&problems);
	notify_reloading();
	if (config_load(d->settings->input, &fresh, &problems, &e) < 0) {
		log_failure(LOG_LEVEL_ERROR, "the settings stay as they were",
			    &e);
	} else {
		const struct config *first = d->settings->config;

		if (strcmp(config_text(first, CONFIG_STATE),
			   config_text(fresh, CONFIG_STATE)) != 0 ||
		    strcmp(config_text(first, CONFIG_SOCKET),
			   config_text(fresh, CONFIG_SOCKET)) != 0)
			log_event(LOG_LEVEL_WARN,
				  "state and socket change at the next start");
		config_free(d->reloaded);
		d->reloaded = fresh;
		log_set_level((enum log_level)log_level_named(
			config_text(fresh, CONFIG_LOG_LEVEL)));
		scheduler_set_host_max(
			d->scheduler,
			(unsigned int)config_number(fresh, CONFIG_CONCURRENCY));
		if (tell_children(d, &e) < 0)
			log_failure(LOG_LEVEL_ERROR,
				    "runs keep the settings as they were", &e);
		log_event(LOG_LEVEL_INFO, "settings read again");
	}
	scheduler_reload(d->scheduler);
	notify_send("READY=1");
}

static void take_signals(struct daemon *d)
{
	struct signalfd_siginfo info;

	while (read(d->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			d->stopping = true;
		else if (info.ssi_signo == SIGHUP && !d->stopping)
			reload(d);
	}
}

/* A run whose end cannot be written now is closed by a later recovery. */
static void take_ends(struct daemon *d)
{
	struct supervisor_end end;
	struct err e;

	while (supervisor_reap(d->supervisor, &end) == 1)
		if (scheduler_ended(d->scheduler, &end, d->stopping,
				    clock_now(), clock_boot_ms(), &e) < 0) {
			log_failure(LOG_LEVEL_ERROR, "cannot close a run", &e);
			d->recovered_ms = 0;
		}
}

static void recover(struct daemon *d)
{
	const int64_t now = clock_boot_ms();
	struct err e;

	if (now - d->recovered_ms < RECOVER_EVERY_MS)
		return;
	d->recovered_ms = now;
	if (scheduler_recover(d->scheduler, clock_now(), now, &e) < 0) {
		log_failure(LOG_LEVEL_ERROR, "cannot look for lost runs", &e);
		d->recovered_ms = now - RECOVER_EVERY_MS + RETRY_MS;
	}
}

/* One tick; for how long nothing else is to do. */
static int64_t tick(struct daemon *d)
{
	const struct instant now = clock_now();
	int64_t wait_ms = config_ms(config_of(d), CONFIG_TICK);
	struct instant next;
	struct err e;

	if (scheduler_tick(d->scheduler, now, clock_boot_ms(), &next, &e) < 0) {
		log_failure(LOG_LEVEL_ERROR, "a tick failed", &e);
		return RETRY_MS;
	}
	/* The wall clock may jump, so sleep no longer than a tick. */
	if (next.sec != INT64_MAX && instant_ms_between(now, next) < wait_ms)
		wait_ms = instant_ms_between(now, next);
	return wait_ms > 0 ? wait_ms : 0;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Wait for a signal, a word, or the time; whether anything but time came. */
static bool wait_ms(struct daemon *d, int64_t ms)
{
	struct pollfd fds[] = { { .fd = d->signal_fd, .events = POLLIN },
				{ .fd = d->wake_fd, .events = POLLIN } };
	eventfd_t count;

	if (poll(fds, 2, (int)least(ms < 0 ? 0 : ms, 3600000)) <= 0)
		return false;
	if (eventfd_read(d->wake_fd, &count) == 0)
		scheduler_reload(d->scheduler);
	take_signals(d);
	return true;
}

static void loop(struct daemon *d)
{
	const int64_t watchdog_ms = notify_watchdog_ms();

	while (!d->stopping) {
		int64_t ms = tick(d);
		const int64_t now = clock_boot_ms();
		const int64_t enforce = supervisor_enforce(d->supervisor, now);

		if (enforce != INT64_MAX)
			ms = least(ms, enforce - now);
		if (watchdog_ms) {
			notify_send("WATCHDOG=1");
			ms = least(ms, watchdog_ms);
		}
		(void)wait_ms(d, ms);
		take_ends(d);
		recover(d);
	}
}

/* ---- Stopping ----------------------------------------------------------- */

/* Children get stopTimeout to end, then a moment to be seen dead, or given up
 * by the supervisor. */
enum { SEEN_DEAD_MS = 3000 };

static void stop_children(struct daemon *d)
{
	const int64_t limit = clock_boot_ms() +
			      config_ms(config_of(d), CONFIG_STOP_TIMEOUT) +
			      SEEN_DEAD_MS;

	supervisor_cancel_all(d->supervisor, clock_boot_ms());
	while (supervisor_count(d->supervisor) > 0 && clock_boot_ms() < limit) {
		const int64_t now = clock_boot_ms();

		(void)wait_ms(d, least(supervisor_enforce(d->supervisor, now),
				       limit) -
					 now);
		take_ends(d);
	}
	if (supervisor_count(d->supervisor) > 0)
		log_event(LOG_LEVEL_WARN,
			  "%zu runs do not die; the next start looks for them",
			  supervisor_count(d->supervisor));
}

static void finish(struct daemon *d)
{
	if (d->listening)
		listener_remove(config_text(d->settings->config, CONFIG_SOCKET),
				&d->socket);
	http_stop(d->http);
	if (d->scheduler)
		stop_children(d);
	scheduler_free(d->scheduler);
	supervisor_free(d->supervisor);
	catalog_close(d->catalog);
	config_free(d->reloaded);
	file_close(d->wake_fd);
	file_close(d->signal_fd);
	file_close(d->lock_fd);
}

int daemon_run(const struct daemon_settings *settings, struct err *e)
{
	struct daemon d = { .settings = settings,
			    .lock_fd = -1,
			    .signal_fd = -1,
			    .wake_fd = -1 };
	const int status = start(&d, e);

	if (status == 0) {
		log_event(LOG_LEVEL_INFO, "snapctld %s listens at %s",
			  SNAPCTL_VERSION,
			  config_text(settings->config, CONFIG_SOCKET));
		run_confine_announce(settings->config);
		notify_send("READY=1");
		loop(&d);
		log_event(LOG_LEVEL_INFO, "stopping");
		notify_send("STOPPING=1");
	}
	finish(&d);
	return status;
}
