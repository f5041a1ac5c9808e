/* Key slots: who may open a repository. */
#include <string.h>

#include "base/text.h"
#include "service/args.h"
#include "service/engine.h"
#include "service/engine_named.h"
#include "service/op.h"
#include "storage/stores/store.h"

static const char *type_name(enum keyring_slot_type type)
{
	return type == KEYRING_KEY_FILE ? "key file" : "passphrase";
}

/* What key operations work on: keyring.h changes the store's own objects. */
struct opened {
	struct resource *named; /* or NULL: --repo is a location */
	struct keyring_credential *credential;
	struct store *store;
};

static void opened_done(struct opened *o)
{
	resource_free(o->named);
	keyring_credential_free(o->credential);
	store_close(o->store);
}

static void cleanup_opened_done(struct opened *o)
{
	opened_done(o);
}

static int open_store(struct operation_call *call, struct opened *ret,
		      struct err *e)
{
	if (engine_named(call, &ret->named, e) < 0 ||
	    engine_named_key(call, ret->named, &ret->credential, e))
		return -1;
	return store_open(ret->named ? resource_region(ret->named, NULL)->url
				     : args_text(call->args, "repo"),
			  false, &ret->store, e);
}

static void record(const struct operation_call *call, const struct opened *o,
		   const char *action, struct object_id slot)
{
	const bool is_new = operation_param_named(call->operation, "label");
	char id[OBJECT_ID_TEXT];
	const struct engine_deed d = {
		.action = action,
		.object = id,
		.region = o->named ? resource_region(o->named, NULL)->name
				   : NULL,
		.details = { { "label", is_new ? args_text(call->args, "label")
					       : NULL } },
	};

	object_id_format(slot, id);
	engine_record(call, o->named, &d);
}

/* The key of the slot to be added; *ret_made tells that a file was made. */
static int fresh_credential(const struct args *a,
			    struct keyring_credential **ret, bool *ret_made,
			    struct err *e)
{
	const char *file = args_text(a, "new-key-file");
	const char *passphrase = args_text(a, "new-passphrase-file");

	*ret_made = false;
	if (!file == !passphrase) {
		(void)err_set(e, ERR_USAGE, "%s",
			      file ? "both a new key file and a new passphrase "
				     "file are given"
				   : "no new key is given");
		return err_hint(e, "name one with --new-key-file (made when it "
				   "is missing) or --new-passphrase-file");
	}
	if (passphrase)
		return keyring_credential_passphrase_file(passphrase, ret, e);
	if (keyring_credential_key_file(file, ret, e) == 0)
		return 0;
	if (e->code != ERR_NOT_FOUND)
		return -1;
	err_clear(e);
	if (keyring_credential_make_key_file(file, ret, e))
		return -1;
	*ret_made = true;
	return 0;
}

static void write_added(struct json *j, struct object_id slot,
			const struct args *a, bool made)
{
	char id[OBJECT_ID_TEXT];
	const char *file = args_text(a, "new-key-file");

	object_id_format(slot, id);
	json_begin_object(j);
	json_kv_str(j, "slot", id);
	json_kv_str(j, "type",
		    type_name(file ? KEYRING_KEY_FILE : KEYRING_PASSPHRASE));
	json_kv_str(j, "label", args_text(a, "label"));
	if (file) {
		json_path(j, "key_file", file, strlen(file));
		json_kv_bool(j, "made", made);
	}
	json_end_object(j);
}

static int add(struct operation_call *call, struct err *e)
{
	CLEANUP(opened_done) struct opened o = { 0 };
	CLEANUP(keyring_credential_free)
	struct keyring_credential *fresh = NULL;
	CLEANUP(keys_free) struct keys *keys = NULL;
	struct object_id slot;
	bool made;

	/* A key file is made only for a repository that opens. */
	if (open_store(call, &o, e) ||
	    keyring_open(o.store, o.credential, &keys, e) ||
	    fresh_credential(call->args, &fresh, &made, e) ||
	    keyring_add(o.store, o.credential, fresh,
			args_text(call->args, "label"), call->now, &slot, e))
		return -1;
	record(call, &o, "key.add", slot);
	write_added(call->reply, slot, call->args, made);
	return 0;
}

static int write_slot(void *arg, const struct keyring_slot *slot, struct err *e)
{
	struct json *j = arg;
	char id[OBJECT_ID_TEXT];

	(void)e;
	object_id_format(slot->id, id);
	json_begin_object(j);
	json_kv_str(j, "slot", id);
	json_kv_str(j, "type", type_name(slot->type));
	json_kv_str(j, "label", slot->label);
	json_kv_instant(j, "added", slot->added);
	json_kv_bool(j, "yours", slot->is_yours);
	json_end_object(j);
	return 0;
}

static int list(struct operation_call *call, struct err *e)
{
	CLEANUP(opened_done) struct opened o = { 0 };
	int status;

	if (open_store(call, &o, e))
		return -1;
	json_begin_list(call->reply);
	status = keyring_list(o.store, o.credential, write_slot, call->reply,
			      e);
	json_end_list(call->reply);
	return status;
}

/* The slot that text, a prefix of an id, means. */
struct meant {
	const char *text;
	struct object_id id;
	unsigned int count;
};

static int match_slot(void *arg, const struct keyring_slot *slot, struct err *e)
{
	struct meant *m = arg;
	char id[OBJECT_ID_TEXT];

	(void)e;
	object_id_format(slot->id, id);
	if (strncasecmp(id, m->text, strlen(m->text)) == 0) {
		m->id = slot->id;
		m->count++;
	}
	return 0;
}

static int find_slot(const struct opened *o, const char *text,
		     struct object_id *ret, struct err *e)
{
	struct meant m = { .text = text };

	/* A whole id may be that of a revocation that was interrupted. */
	if (object_id_parse(text, ret))
		return 0;
	if (*text == '\0')
		return err_set(e, ERR_USAGE, "SLOT is empty");
	if (keyring_list(o->store, o->credential, match_slot, &m, e))
		return -1;
	if (m.count == 1) {
		*ret = m.id;
		return 0;
	}
	if (m.count)
		return err_set(e, ERR_USAGE, "several key slots begin with %s",
			       text_quote_str(text).s);
	(void)err_set(e, ERR_NOT_FOUND, "there is no key slot %s",
		      text_quote_str(text).s);
	return err_hint(e, "`snapctl key list` shows all");
}

/*
 * Each region has a keyring of its own, and learns of this one when something
 * is copied to it.  Which there are is known of a declared repository only.
 */
static void write_still_opens(struct json *j, const struct resource *named)
{
	json_key(j, "still_opens");
	if (!named) {
		json_none(j);
		return;
	}
	json_begin_list(j);
	for (size_t i = 0; i < named->repository.region_count; i++)
		if (!named->repository.regions[i].primary)
			json_str(j, named->repository.regions[i].name);
	json_end_list(j);
}

static void write_revoked(struct json *j, const struct opened *o,
			  struct object_id slot)
{
	const bool alone = o->named && o->named->repository.region_count == 1;
	char id[OBJECT_ID_TEXT];

	object_id_format(slot, id);
	json_begin_object(j);
	json_kv_str(j, "revoked", id);
	write_still_opens(j, o->named);
	json_kv_str(j, "note",
		    alone ? "what this key has seen it can still read; what is "
			    "written from now on it cannot"
			  : "what this key has seen it can still read, and "
			    "every other region it still opens until the next "
			    "copy to that region: make one now, with "
			    "`snapctl replicate --to REGION`; what is written "
			    "from then on it cannot read");
	json_end_object(j);
}

static int revoke(struct operation_call *call, struct err *e)
{
	CLEANUP(opened_done) struct opened o = { 0 };
	struct object_id slot;

	if (open_store(call, &o, e) ||
	    find_slot(&o, args_text(call->args, "slot"), &slot, e) ||
	    keyring_revoke(o.store, o.credential, slot, call->now, e))
		return -1;
	record(call, &o, "key.revoke", slot);
	write_revoked(call->reply, &o, slot);
	return 0;
}

static const struct operation_param add_params[] = {
	{ .name = "new-key-file",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "FILE",
	  .help = "the key to add; made, readable by you alone, when it is "
		  "missing" },
	{ .name = "new-passphrase-file",
	  .kind = PARAM_OPTION,
	  .type = PARAM_PATH,
	  .value = "FILE",
	  .help = "a file whose first line is the passphrase to add" },
	{ .name = "label",
	  .kind = PARAM_OPTION,
	  .fallback = "",
	  .value = "TEXT",
	  .help = "whose key it is" },
	{ 0 },
};

static const struct operation_param revoke_params[] = {
	{ .name = "slot",
	  .kind = PARAM_POSITIONAL,
	  .required = true,
	  .value = "SLOT",
	  .help = "the slot's id, or how it begins" },
	{ 0 },
};

const struct operation op_key_rows[] = {
	{ .verb = "key add",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_CHANGES,
	  .params = add_params,
	  .view = "slot type label key_file",
	  .summary = "let another key or passphrase open a repository",
	  .help = ENGINE_RECORD_HELP,
	  .run = add },
	{ .verb = "key list",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO,
	  .view = "slot type label added:age yours:yesno",
	  .summary = "list the keys that open a repository",
	  .run = list },
	{ .verb = "key revoke",
	  .flags = OPERATION_DIRECT | OPERATION_NEEDS_REPO | OPERATION_CHANGES,
	  .params = revoke_params,
	  .view = "revoked still_opens:list note",
	  .summary = "take a key's access away",
	  .help = "A new epoch begins for the remaining keys. What the revoked "
		  "key had seen it can still read: revoking protects what is "
		  "written afterwards. Snapshots under way under the old keys "
		  "end as busy and are to be taken again, and so may any "
		  "other command that was under way; scheduled ones are "
		  "tried again. Change the store's credentials as well.\n\n"
		  "Other regions learn of it with the next copy to them, by a "
		  "schedule or `snapctl replicate`; until then the key still "
		  "opens them, and a copy made by hand at once is the end of "
		  "it. still_opens names them where --repo is the name of a "
		  "repository.\n\n"
		  "The last slot, and that of the key at hand, stay.\n\n" ENGINE_RECORD_HELP,
	  .run = revoke },
	{ 0 },
};
