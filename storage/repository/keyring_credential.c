/*
 * Key files and passphrases.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"
#include "storage/repository/keyring_internal.h"

#define KEY_LINE     "snapctl-key-1\n"
#define KEY_BASE64   44 /* digits of 32 bytes, padding included */
#define KEY_FILE_MAX 4096

static int new_credential(enum keyring_slot_type type,
			  struct keyring_credential **ret, struct err *e)
{
	struct keyring_credential *c = secret_new(sizeof(*c));

	if (!c)
		return err_oom(e);
	c->type = type;
	*ret = c;
	return 0;
}

void keyring_credential_free(struct keyring_credential *c)
{
	secret_free(c);
}

int keyring_credential_parse(const char *text, size_t n, uint8_t key[KEYS_SIZE],
			     struct err *e)
{
	const size_t head = sizeof(KEY_LINE) - 1;
	uint8_t bytes[KEY_BASE64];
	ptrdiff_t got = -1;

	/* Editors may drop or keep the last newline. */
	if (n == head + KEY_BASE64 + 1 && text[n - 1] == '\n')
		n--;
	if (n == head + KEY_BASE64 && memcmp(text, KEY_LINE, head) == 0)
		got = text_unbase64(text + head, KEY_BASE64, bytes);
	if (got == KEYS_SIZE)
		memcpy(key, bytes, KEYS_SIZE);
	secret_wipe(bytes, sizeof(bytes));
	if (got == KEYS_SIZE)
		return 0;
	(void)err_set(e, ERR_USAGE, "it is no key file of snapctl");
	return err_hint(e, "a passphrase goes with --passphrase-file");
}

/* Everyone who can read the key reads every snapshot. */
static int check_private(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_sys(e, "cannot examine it");
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) == 0)
		return 0;
	err_put_(e, ERR_DENIED, "others may read it (mode %04o)",
		 (unsigned int)st.st_mode & 07777);
	return err_hint(e, "chmod 600 %s", path);
}

static int load_key_file(const char *path, uint8_t key[KEYS_SIZE],
			 struct err *e)
{
	CLEANUP(file_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[KEY_FILE_MAX];
	ssize_t n;
	int r;

	if (fd < 0 && errno == ENOENT) {
		(void)err_set(e, ERR_NOT_FOUND, "there is no such file");
		return err_hint(e, "bring it back from where its copy is kept; "
				   "only `snapctl repo init` makes one");
	}
	if (fd < 0)
		return err_sys(e, "cannot open it");
	if (check_private(fd, path, e))
		return -1;
	n = file_read(fd, text, sizeof(text));
	if (n < 0 && errno == EISDIR)
		return err_set(e, ERR_USAGE, "it is a folder");
	if (n < 0)
		return err_sys(e, "cannot read it");
	r = keyring_credential_parse(text, (size_t)n, key, e);
	secret_wipe(text, sizeof(text));
	return r;
}

int keyring_credential_key_file(const char *path,
				struct keyring_credential **ret, struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;

	if (new_credential(KEYRING_KEY_FILE, &c, e))
		return -1;
	if (load_key_file(path, c->key, e))
		return err_wrap(e, "cannot use key file %s",
				text_quote_str(path).s);
	*ret = TAKE(c);
	return 0;
}

int keyring_credential_make_key_file(const char *path,
				     struct keyring_credential **ret,
				     struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	char text[sizeof(KEY_LINE) + KEY_BASE64 + 1] = KEY_LINE;
	const size_t head = sizeof(KEY_LINE) - 1;
	int r;

	if (new_credential(KEYRING_KEY_FILE, &c, e))
		return -1;
	secret_random(c->key, sizeof(c->key));
	text_base64(c->key, sizeof(c->key), text + head);
	text[head + KEY_BASE64] = '\n';
	r = file_create(path, text, head + KEY_BASE64 + 1, 0600, e);
	secret_wipe(text, sizeof(text));
	if (r)
		return err_wrap(e, "cannot make key file %s",
				text_quote_str(path).s);
	*ret = TAKE(c);
	return 0;
}

static int load_passphrase(const char *path, struct buf *text, size_t *ret_n,
			   struct err *e)
{
	const bool piped = strcmp(path, "-") == 0;
	CLEANUP(file_close)
	int fd = piped ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
		       : open(path, O_RDONLY | O_CLOEXEC);
	const char *newline;
	ssize_t got;

	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "there is no such file");
	if (fd < 0)
		return err_sys(e, "cannot open it");
	if ((!piped && check_private(fd, path, e)) ||
	    buf_reserve(text, (size_t)2 * KEYRING_PASSPHRASE_MAX, e))
		return -1;
	got = file_read(fd, text->data, (size_t)2 * KEYRING_PASSPHRASE_MAX);
	if (got < 0)
		return err_sys(e, "cannot read it");
	text->len = (size_t)got;
	newline = got ? memchr(text->data, '\n', text->len) : NULL;
	*ret_n = newline ? (size_t)(newline - buf_str(text)) : text->len;
	if (*ret_n == 0)
		return err_set(e, ERR_USAGE, "its first line is empty");
	if (*ret_n > KEYRING_PASSPHRASE_MAX)
		return err_set(e, ERR_USAGE, "its first line is too long");
	return 0;
}

int keyring_credential_passphrase_file(const char *path,
				       struct keyring_credential **ret,
				       struct err *e)
{
	CLEANUP(keyring_credential_free) struct keyring_credential *c = NULL;
	CLEANUP(buf_wipe) struct buf text;
	size_t n;

	buf_init(&text, (size_t)2 * KEYRING_PASSPHRASE_MAX + 1);
	if (new_credential(KEYRING_PASSPHRASE, &c, e))
		return -1;
	if (load_passphrase(path, &text, &n, e))
		return err_wrap(e, "cannot use passphrase file %s",
				text_quote_str(path).s);
	assert(n <= sizeof(c->passphrase));
	memcpy(c->passphrase, text.data, n);
	c->len = n;
	*ret = TAKE(c);
	return 0;
}
