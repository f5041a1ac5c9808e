#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/repository/fields.h"
#include "storage/repository/seal.h"
#include "storage/repository/writer_internal.h"

int writer_session_open(struct writer *w, struct err *e)
{
	struct record r;
	int failed;

	w->session = object_id_new();
	record_init(&r, OBJECT_SESSION);
	r.id = w->session;
	r.time = clock_now();
	r.pid = (uint64_t)getpid();
	r.purpose = w->options.purpose;
	fields_text(r.by, sizeof(r.by), w->options.host);
	failed = record_add_id(&r, w->options.snapshot, e) ||
		 beat_start(repository_store(w->repository),
			    repository_keys(w->repository), &r, &w->beat, e);
	record_done(&r);
	return failed ? err_wrap(e, "cannot open a session") : 0;
}

int writer_check_keys(struct repository *r, struct err *e)
{
	uint32_t epoch;

	if (keyring_epoch_since(repository_store(r), repository_keys(r), &epoch,
				e))
		return err_wrap(e, "cannot see whether a key was revoked");
	if (epoch <= keys_epoch(repository_keys(r)))
		return 0;
	(void)err_set(e, ERR_BUSY,
		      "a key was revoked meanwhile, and could still read what "
		      "is written here");
	return err_hint(e, "run it again, under the new keys: what was stored "
			   "before is reused");
}

struct store_asked *writer_ask_confirm(struct store *s,
				       struct object_id session)
{
	struct store_question v[2] = { { STORE_ASK_LISTING, "keyring/", 0 },
				       { .kind = STORE_ASK_OBJECT } };
	const struct object_name fence = object_name(OBJECT_FENCE, session);

	memcpy(v[1].name, fence.s, sizeof(fence.s));
	return store_ask(s, v, 2);
}

/* Of what is new there is none yet. */
static int put_receipt_of(struct writer *w, const struct record *r,
			  struct err *e)
{
	const bool is_new = w->options.purpose == RECORD_SNAPSHOT;

	return record_put(repository_store(w->repository),
			  repository_keys(w->repository), r,
			  is_new ? STORE_FRESH : 0, e);
}

/* Step 5.  One that is there already was fixed before: it stays. */
static int put_receipt(struct writer *w, struct instant received,
		       enum record_clock clock, struct err *e)
{
	struct record r;

	record_init(&r, OBJECT_RECEIPT);
	r.id = w->options.snapshot;
	r.snapshot = w->options.snapshot;
	r.time = received;
	r.clock = clock;
	if (put_receipt_of(w, &r, e) == 0) {
		w->wrote_receipt = true;
		return 0;
	}
	if (e->code != ERR_EXISTS)
		return err_wrap(e, "cannot write the receipt");
	err_clear(e);
	return 0;
}

static int put_manifest(struct writer *w, const struct manifest *m,
			struct err *e)
{
	const struct object_name name = object_name_pair(
		OBJECT_MANIFEST, m->snapshot, m->session);
	CLEANUP(buf_done) struct buf payload;

	buf_init(&payload, CHUNK_MAX);
	if (manifest_encode(m, &payload, e) ||
	    seal_box_put(repository_store(w->repository),
			 repository_keys(w->repository), OBJECT_MANIFEST,
			 name.s, payload.data, payload.len,
			 STORE_FRESH | STORE_OR_NONE, e))
		return err_wrap(e, "cannot write the manifest");
	return 0;
}

int writer_is_fenced(struct repository *r, struct object_id session,
		     struct err *e)
{
	const struct object_name fence = object_name(OBJECT_FENCE, session);
	uint8_t first;
	size_t got;
	/* Whoever wrote it goes on to void and to delete, whether or not it
	 * opens for us: that it is there is all that counts. */
	const int found = store_read(repository_store(r), fence.s, 0, &first,
				     sizeof(first), &got, e);

	if (found < 0)
		return err_wrap(e, "cannot see whether the session is fenced");
	return found;
}

int writer_confirm(struct writer *w, struct err *e)
{
	const int fenced = writer_is_fenced(w->repository, w->session, e);

	if (fenced <= 0)
		return fenced;
	(void)err_set(e, ERR_BUSY,
		      "the session was given up by a garbage collection while "
		      "it stood still");
	return err_hint(e, "run it again: what was stored is reused");
}

void writer_explain(struct writer *w, struct err *e)
{
	struct err why = { 0 };

	if (e->code != ERR_INTERRUPTED && writer_confirm(w, &why) &&
	    why.code == ERR_BUSY && !why.of_store)
		*e = why;
}

int writer_session_publish(struct writer *w, const struct manifest *m,
			   struct instant received, enum record_clock clock,
			   struct err *e)
{
	if (writer_check_keys(w->repository, e) ||
	    put_receipt(w, received, clock, e) || put_manifest(w, m, e))
		return -1;
	/* Step 7: whoever fenced us did so before looking for the manifest
	 * that we just wrote, or will find it.  Only without a fence is it
	 * certain that nobody annuls it. */
	return writer_confirm(w, e);
}
