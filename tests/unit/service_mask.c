/*
 * What is masked, and what stays.  Nothing here is, or was, anybody's: S stands
 * for what must not be seen, and the rest of each token is put together so that
 * nobody who looks for lost keys finds one.
 */
#include "service/mask.h"

#include <string.h>

#include "tests/support/check_main.h"

#define S     \
	"Zq7" \
	"vW2" \
	"kLm" \
	"9Xr" \
	"T4b" \
	"Np8" \
	"sJd" \
	"6Yf" \
	"H3c"
#define LONG_1	 "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"
#define LONG_4	 LONG_1 LONG_1 LONG_1 LONG_1
#define LONG	 LONG_4 LONG_4 LONG_4 LONG_4 LONG_4
#define HEX_4	 HEX HEX HEX HEX
#define LONG_HEX HEX_4 HEX_4 HEX_4 HEX_4
#define HEX            \
	"0a1b2c3d4e5f" \
	"60718293a4b5" \
	"c6d7e8f90a1b"

static const char *masked_as(const char *path, const char *text,
			     const char *pattern)
{
	static struct buf out;
	CLEANUP(mask_free) struct mask *m = NULL;
	struct err e = { 0 };

	buf_done(&out);
	buf_init(&out, 1 << 20);
	ck_ok(mask_new(&m, &e));
	if (pattern)
		ck_ok(mask_add(m, pattern, &e));
	ck_ok(mask_text(m, path, strlen(path), text, strlen(text), &out, &e));
	return buf_str(&out);
}

static const char *masked(const char *text)
{
	return masked_as("/etc/x.conf", text, NULL);
}

static size_t lines_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

/* Texts in which S must not be seen, with what is to be seen of them. */
static const struct {
	const char *text;
	const char *shown; /* NULL: anything without S */
} secret[] = {
	/* Assigned to a name, in many languages. */
	{ "password = " S, "password = ********" },
	{ "password=" S "\n", "password=********\n" },
	{ "PASSWORD:" S, "PASSWORD:********" },
	{ "  db_password: " S, "  db_password: ********" },
	{ "dbPassword: \"" S "\" # the one",
	  "dbPassword: \"********\" # the one" },
	{ "{\"user\": \"u\", \"password\": \"" S "\", \"port\": 1}",
	  "{\"user\": \"u\", \"password\": \"********\", \"port\": 1}" },
	{ "passwd = a " S " b", "passwd = ********" },
	{ "export DB_PASS='" S "'", "export DB_PASS='********'" },
	{ "Environment=\"API_TOKEN=" S "\"", NULL },
	{ "#password = " S, "#password = ********" },
	{ "; secret=" S, "; secret=********" },
	{ "client_secret=" S, "client_secret=********" },
	{ "clientSecret: " S, "clientSecret: ********" },
	{ "api-key: " S, "api-key: ********" },
	{ "API Key: " S, "API Key: ********" },
	{ "apikey => '" S "',", "apikey => '********'," },
	{ "'token' => '" S "'", "'token' => '********'" },
	{ "$cfg['db']['password'] = '" S "';",
	  "$cfg['db']['password'] = '********';" },
	{ "define('DB_PASSWORD', '" S "');",
	  "define('DB_PASSWORD', '********');" },
	{ "<password>" S "</password>", "<password>********</password>" },
	{ "<password>\n  " S "\n</password>\n",
	  "<password>\n  ********\n</password>\n" },
	{ "<user name=\"u\" password=\"" S "\" roles=\"r\"/>",
	  "<user name=\"u\" password=\"********\" roles=\"r\"/>" },
	{ "<property name=\"password\" value=\"" S "\"/>", NULL },
	{ "- name: DB_PASSWORD\n  value: " S "\n",
	  "- name: DB_PASSWORD\n  value: ********\n" },
	{ "- name: DB_PASSWORD\n  value: \"" S "\"\n", NULL },
	{ "aws_secret_access_key = " S, "aws_secret_access_key = ********" },
	{ "secret_id = \"" S "\"", "secret_id = \"********\"" },
	{ "password1=" S, "password1=********" },
	{ "spring.datasource.password=" S, NULL },
	{ "private_key = " S, "private_key = ********" },
	{ "PrivateKey = " S "=", "PrivateKey = ********" },
	{ "PresharedKey = " S "=", "PresharedKey = ********" },
	{ "psk=\"" S "\"", "psk=\"********\"" },
	{ "wpa_passphrase=" S, "wpa_passphrase=********" },
	{ "credential: " S, "credential: ********" },
	{ "\t\"auth\": \"" S "\"", "\t\"auth\": \"********\"" },
	{ "echo \"{\\\"password\\\":\\\"" S "\\\"}\"", NULL },
	{ "password: 'it''s " S "'", NULL },
	{ "password = \"" S "\\\" " S "\" x", "password = \"********\" x" },
	{ "password = foo\\\n" S "\\\n" S "\nnext = 1\n",
	  "password = ********\n********\n********\nnext = 1\n" },
	{ "password = \"a\n" S "\n" S "\"\nnext = 1\n", NULL },
	{ "password: |\n  " S "\n\n  " S "\nuser: u\n",
	  "password: |\n  ********\n\n  ********\nuser: u\n" },
	{ "password: !vault |\n    " S "\nuser: u\n",
	  "password: ********\n    ********\nuser: u\n" },
	{ "password:\n  " S "\nuser: u\n", "password:\n  ********\nuser: u\n" },
	{ "tokens:\n- " S "\n- " S "\nuser: u\n", NULL },
	{ "\"secrets\": [\n   \"" S "\"\n],\n", NULL },
	/* With nothing but a space between. */
	{ "requirepass " S, "requirepass ********" },
	{ "  password " S, "  password ********" },
	{ "machine h login u password " S " port 1",
	  "machine h login u password ******** port 1" },
	{ "\tsecret \"" S "\";", "\tsecret \"********\";" },
	{ "ALTER ROLE u PASSWORD '" S "';",
	  "ALTER ROLE u PASSWORD '********';" },
	{ "CREATE USER u IDENTIFIED BY '" S "';", NULL },
	{ "ExecStart=/bin/x --password " S " -v",
	  "ExecStart=/bin/x --password ******** -v" },
	{ "ExecStart=/bin/x --api-token=" S, NULL },
	{ "rocommunity " S " 10.0.0.0/8", NULL },
	{ "@l2tp : PSK \"" S "\"", "@l2tp : PSK \"********\"" },
	/* By its shape. */
	{ "x AKIA"
	  "ABCDEFGH"
	  "IJKL2345 y",
	  "x ******** y" },
	{ "url = https://u:" S "@h/p", "url = https://u:********@h/p" },
	{ "postgres://u:p/" S "@h:5/d?x=1", "postgres://u:********@h:5/d?x=1" },
	{ "https://" S "@github.com/x", "https://********@github.com/x" },
	{ "see gh"
	  "p_" S " there",
	  "see ******** there" },
	{ "see glp"
	  "at-" S " there",
	  "see ******** there" },
	{ "see xo"
	  "xb-1-" S " there",
	  "see ******** there" },
	{ "x ey"
	  "J" S "." S "." S " y",
	  "x ******** y" },
	{ "Authorization: Bearer " S, "Authorization: ********" },
	{ "proxy_set_header Authorization \"Basic " S "\";", NULL },
	{ "curl -H 'X: y' -H \"authorization:bearer " S "\"", NULL },
	{ "header Bearer " S " x", "header Bearer ******** x" },
	{ "root:$"
	  "6$" S "$" S ":19000:0:99999:7:::",
	  "root:********:19000:0:99999:7:::" },
	{ "root:$"
	  "y$j9T$" S ".$" S "/:19000:0:99999:7:::",
	  "root:********:19000:0:99999:7:::" },
	{ "old:" S ":19000:0:99999:7:::", "old:********:19000:0:99999:7:::" },
	{ "wheel:$"
	  "6$" S "::u",
	  "wheel:********::u" },
	{ "u:$"
	  "apr1$" S "$" S,
	  "u:********" },
	{ "userPassword: {SSHA}" S, NULL },
	{ "x {SS"
	  "HA}" S "= y",
	  "x ******** y" },
	{ "db:5432:*:u:" S, "db:5432:*:u:********" },
	{ "\"tls.key\": \"" S S "\"", "\"tls.key\": \"********\"" },
	{ "key = " HEX, "key = ********" },
	{ "data: " S S "==", "data: ********" },
	{ "  " S S "\n", "  ********\n" },
	/* Keys of several lines. */
	{ "-----BEGIN "
	  "PRIVATE KEY-----\n" S "\n" S "\n-----END "
	  "PRIVATE KEY-----\nnext\n",
	  "-----BEGIN PRIVATE KEY-----\n********\n********\n"
	  "-----END PRIVATE KEY-----\nnext\n" },
	{ "a\n-----BEGIN OPEN"
	  "SSH PRIVATE KEY-----\n" S "\n-----END OPEN"
	  "SSH PRIVATE KEY-----\nb\n",
	  "a\n-----BEGIN OPENSSH PRIVATE KEY-----\n********\n-----END "
	  "OPENSSH PRIVATE KEY-----\nb\n" },
	{ "-----BEGIN PGP "
	  "PRIVATE KEY BLOCK-----\n\n" S "\n",
	  NULL },
	{ "-----BEGIN RSA "
	  "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" S "\n",
	  NULL },
	{ "  key: |\n    -----BEGIN EC "
	  "PRIVATE KEY-----\n    " S "\n    -----END EC "
	  "PRIVATE KEY-----\n  b: c\n",
	  NULL },
	{ "{\"k\": \"-----BEGIN "
	  "PRIVATE KEY-----\\n" S "\\n-----END "
	  "PRIVATE KEY-----\\n\", \"a\": 1}",
	  "{\"k\": \"-----BEGIN PRIVATE KEY-----********-----END PRIVATE "
	  "KEY-----\\n\", \"a\": 1}" },
	{ "---- BEGIN SSH2 ENCRYPTED "
	  "PRIVATE KEY ----\n" S "\n",
	  NULL },
	{ "Private-"
	  "Lines: 2\n" S "\n" S "\nPrivate-MAC: 0\n",
	  "Private-Lines: 2\n********\n********\nPrivate-MAC: 0\n" },
	{ "\xe4\xf6 password = " S "\xff" S, NULL }, /* not UTF-8 */
	{ "password = " S "\r\n", "password = ********\r\n" },
	/* As long as a key in base64 or hexadecimal is. */
	{ "tls.key: " LONG S, "tls.key: ********" },
	{ "x: " LONG S "=\n", "x: ********\n" },
	{ LONG S "\n", "********\n" },
	{ "x = " LONG_HEX HEX, "x = ********" },
	{ "    client-key-data: " S, "    client-key-data: ********" },
	{ "say LS0tLS1"
	  "CRUdJTi" S " there",
	  "say ******** there" },
	/* Several keys on a line. */
	{ "{\"a\": \"-----BEGIN CERTIFICATE-----\\nMI\\n-----END "
	  "CERTIFICATE-----\\n-----BEGIN "
	  "PRIVATE KEY-----\\n" S "\\n-----END "
	  "PRIVATE KEY-----\\n\"}",
	  NULL },
	{ "-----BEGIN "
	  "PRIVATE KEY-----\\nMI\\n-----END "
	  "PRIVATE KEY-----\\n-----BEGIN RSA "
	  "PRIVATE KEY-----\\n" S "\nx.y " S "\n-----END RSA "
	  "PRIVATE KEY-----\nnext\n",
	  NULL },
	{ "-----BEGIN CERTIFICATE----- -----BEGIN "
	  "PRIVATE KEY-----\n" S "\n",
	  NULL },
	/* Names whose words are run together. */
	{ "bindpw = x " S, "bindpw = ********" },
	{ "rootpw = x " S, "rootpw = ********" },
	{ "dbc_dbpass = x " S, "dbc_dbpass = ********" },
	{ "dbpass = x " S, "dbpass = ********" },
	{ "smtppass = x " S, "smtppass = ********" },
	{ "userpass = x " S, "userpass = ********" },
	{ "authpass = x " S, "authpass = ********" },
	{ "sshpass = x " S, "sshpass = ********" },
	{ "controlpass = x " S, "controlpass = ********" },
	{ "PGPASS = x " S, "PGPASS = ********" },
	{ "dbpwd = x " S, "dbpwd = ********" },
	{ "adminpw = x " S, "adminpw = ********" },
	{ "wpapsk = x " S, "wpapsk = ********" },
	{ "passkey = x " S, "passkey = ********" },
	{ "privkey = x " S, "privkey = ********" },
	{ "sslkey = x " S, "sslkey = ********" },
	{ "NONCE_KEY = x " S, "NONCE_KEY = ********" },
	{ "LOGGED_IN_KEY = x " S, "LOGGED_IN_KEY = ********" },
	{ "passw = x " S, "passw = ********" },
	/* What only begins as something harmless does. */
	{ "password = no way " S, "password = ********" },
	{ "password = on#" S, "password = ********" },
	{ "password = off;" S, "password = ********" },
	{ "passphrase: none shall " S, "passphrase: ********" },
	{ "password = |" S, "password = ********" },
	{ "password = >>" S, "password = ********" },
	{ "password = >- " S, "password = ********" },
	{ "password [success=" S, "password ********" },
	{ "password = [success=1] " S, "password = ********" },
	{ "passwd: files " S, "passwd: ********" },
	{ "password = required " S, "password = ********" },
	{ "password = 'no way " S "'", "password = '********'" },
	/* Over several lines. */
	{ "password = <<EOF\n" S "\nx " S "\nEOF\nnext = 1\n",
	  "password = ********\n********\n********\nEOF\nnext = 1\n" },
	{ "password = <<-EOT\n  " S "\n  EOT\nnext = 1\n",
	  "password = ********\n  ********\n  EOT\nnext = 1\n" },
	{ "PASSWORD=\"$(cat <<'EOF'\na\"b\n" S "\nEOF\n)\"\nnext = 1\n", NULL },
	{ "PASSWORD=$(cat <<EOF\n" S "\nEOF\n)\n", NULL },
	{ "password: | # why\n  " S "\nuser: u\n",
	  "password: | # why\n  ********\nuser: u\n" },
	{ "password: # why\n  " S "\nuser: u\n",
	  "password: ********\n  ********\nuser: u\n" },
	{ "password: &a\n  " S "\nuser: u\n",
	  "password: ********\n  ********\nuser: u\n" },
	{ "password: !!str # why\n  " S "\nuser: u\n",
	  "password: ********\n  ********\nuser: u\n" },
	{ "password='it'\\''s" S "'", "password='********'" },
	{ "password=\"abc\"'" S "'; x", "password=\"********'; x" },
	{ "password=\"abc\"" S " x", "password=\"******** x" },
	{ "password = \"abc\" + \"" S "\";", "password = \"********\";" },
	{ "password = 'abc' . '" S "';", "password = '********';" },
	{ "password = \"abc\" +\n  \"" S "\";", NULL },
	{ "password = \"abc\" \\\n  \"" S "\";", NULL },
	{ "password = \"a\nb \\\"" S "\n" S "\"\nnext = 1\n",
	  "password = \"********\n********\n********\"\nnext = 1\n" },
	{ "password = \"a\nb \\\" c\n" S "\"\nnext = 1\n", NULL },
	/* Elements. */
	{ "<password type=\"x\">" S "</password>",
	  "<password type=\"x\">********</password>" },
	{ "<ns:password>" S "</ns:password>",
	  "<ns:password>********</ns:password>" },
	{ "<password type=\"x\">\n" S "\n</password>\n", NULL },
	{ "<password\n type=\"x\">" S "</password>\n", NULL },
	{ "<password value=\"" S "\"/>", NULL },
	{ "<name>a.ConnectionPassword</name><value>" S "</value>",
	  "<name>a.ConnectionPassword</name><value>********</value>" },
	{ "<name>a.Password</name>\n  <value>" S "</value>\n",
	  "<name>a.Password</name>\n  <value>********</value>\n" },
	{ "<key>Password</key>\n\t<string>" S "</string>\n",
	  "<key>Password</key>\n\t<string>********</string>\n" },
	{ "<key>Password</key>\n\t<data>\n" S "\n</data>\n", NULL },
	/* Wherever its name stands, to the end of the line. */
	{ "ENV DB_PASSWORD x " S, "ENV DB_PASSWORD ********" },
	{ "SetEnv DB_PASSWORD " S, "SetEnv DB_PASSWORD ********" },
	{ "setenv PASSWORD " S, "setenv PASSWORD ********" },
	{ "fastcgi_param DB_PASSWORD " S ";", NULL },
	{ "set $token " S ";", NULL },
	{ "x insecure-password " S, "x insecure-password ********" },
	{ "insecure-password x " S, "insecure-password ********" },
	{ " neighbor 1.1.1.1 password " S,
	  " neighbor 1.1.1.1 password ********" },
	{ "username u secret 5 " S, "username u secret ********" },
	{ "machine h password " S " login u",
	  "machine h password ******** login u" },
	{ "password md5 " S, "password ********" },
	{ " secret 0 " S, " secret ********" },
	{ "#password md5 " S, "#password ********" },
	{ "snmp-server community " S " ro", "snmp-server community ********" },
	/* Of commands. */
	{ "ExecStart=/bin/mysqldump -u u -p" S " d",
	  "ExecStart=/bin/mysqldump -u u -p******** d" },
	{ "mysql -p'a " S "' d", "mysql -p******** d" },
	{ "sshpass -p " S " ssh h", NULL },
	{ "ExecStart=/bin/sshpass -p " S " ssh h",
	  "ExecStart=/bin/sshpass -p ******** ssh h" },
	{ "curl -u u:" S " h", "curl -u u:******** h" },
	{ "curl -su 'u:a " S "' h", NULL },
	{ "curl --user u:" S " h", NULL },
	{ "dsn = u:" S "@tcp(h:3306)/db", "dsn = u:********@tcp(h:3306)/db" },
	{ "u:a@" S "@tcp(h:3306)/db", "u:********@tcp(h:3306)/db" },
	/* Of Kubernetes, in whatever order; and where one may post. */
	{ "data:\n  a: x " S "\nkind: Secret\n",
	  "data:\n  ********\nkind: Secret\n" },
	{ "kind: Secret\nstringData:\n  a: x " S "\ntype: x\n",
	  "kind: Secret\nstringData:\n  ********\ntype: x\n" },
	{ "{\"kind\":\"Secret\",\"data\":{\"a\":\"x " S "\"}}", NULL },
	{ "u = https://hooks.slack"
	  ".com/services/T0/B0/" S " x",
	  "u = https://******** x" },
	{ "u = https://discord"
	  ".com/api/webhooks/1/" S " x",
	  "u = https://******** x" },
};

START_TEST(secrets_are_not_shown)
{
	for (size_t i = 0; i < sizeof(secret) / sizeof(*secret); i++) {
		const char *got = masked(secret[i].text);

		ck_assert_msg(!strstr(got, S) && !strstr(got, HEX), "%s: %s",
			      secret[i].text, got);
		ck_assert_msg(strstr(got, MASK_TEXT) != NULL, "%s: %s",
			      secret[i].text, got);
		ck_assert_uint_eq(lines_of(got), lines_of(secret[i].text));
		if (secret[i].shown)
			ck_assert_str_eq(got, secret[i].shown);
	}
}
END_TEST

#define CERTIFICATE                                              \
	"-----BEGIN CERTIFICATE-----\n"                          \
	"MIIBszCCAVmgAwIBAgIUQ2hhcnM5MDEyMzQ1Njc4OTAxMjM0NTY3\n" \
	"-----END CERTIFICATE-----\n"

static const char *const harmless[] = {
	"",
	"\n",
	"worker_processes 4;\n",
	"PasswordAuthentication no",
	"PasswordAuthentication yes",
	"PasswordAuthentication=no",
	"PermitEmptyPasswords no",
	"PermitRootLogin prohibit-password",
	"token_ttl = 3600",
	"tokenTimeout: 30s",
	"password_file = /etc/x/password",
	"secret_file: \"/run/secrets/x\"",
	"passwordPolicy: strict",
	"credentials_path = /x",
	"PASS_MAX_DAYS 99999",
	"password requisite pam_pwquality.so retry=3",
	"password\t[success=1 default=ignore]\tpam_unix.so obscure",
	"auth required pam_unix.so",
	"passwd:         files systemd",
	"proxy_pass http://127.0.0.1:8080;",
	"server_tokens off;",
	"ServerTokens Prod",
	"key_path: /etc/x",
	"# passwords are hashed with yescrypt",
	"root:x:0:0:root:/root:/bin/bash",
	"daemon:*:19000:0:99999:7:::",
	"sudo:x:27:user",
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA user@host",
	"deb https://deb.debian.org/debian bookworm main",
	"https://example.org:8443/a/b?c=d",
	"mirror = https://mirror.example.org/path@v2",
	"ExecStart=/usr/lib/systemd/systemd-networkd-wait-online --any",
	"id: 6f1c2a90-0000-4000-8000-0123456789ab",
	"image: registry.example.org/team/app:1.2.3",
	"AuthType Basic",
	"00:11:22:33 x",
	"secretName: web-tls",
	"password: null",
	"use_token = true",
	CERTIFICATE,
	"net.ipv4.tcp_syncookies = 1",
	"monkey = banana",
	"password = off;",
	"password: no # yet",
	"passwd: files systemd [NOTFOUND=return]",
	"password include system-auth",
	"account\t[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so",
	"auth\t[success=1 default=ignore]\tpam_unix.so nullok",
	"{\"token\": null}",
	"keyboard: us",
	"compass = north",
};

START_TEST(what_is_harmless_stays)
{
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		ck_assert_str_eq(masked(harmless[i]), harmless[i]);
}
END_TEST

START_TEST(a_file_of_one_line_is_what_its_name_says)
{
	ck_assert_str_eq(masked_as("/run/db_password", "hunter\n", NULL),
			 MASK_TEXT "\n");
	ck_assert_str_eq(masked_as("/etc/wg/x.key", "0123", NULL), MASK_TEXT);
	ck_assert_str_eq(masked_as("/etc/passwd", "root:x:0:0::/:\na\n", NULL),
			 "root:x:0:0::/:\na\n");
	ck_assert_str_eq(masked_as("/etc/hostname", "hunter\n", NULL),
			 "hunter\n");
	ck_assert_str_eq(masked_as("/etc/db_password", "", NULL), "");
}
END_TEST

START_TEST(a_file_is_what_its_path_says)
{
	static const struct {
		const char *path, *text, *shown;
	} files[] = {
		{ "/run/secrets/x", "a b\n\n c\n", "********\n\n ********\n" },
		{ "/etc/ppp/chap-secrets", "# u s p ip\nu * x *\nv\t*\ty\n",
		  "# u s p ip\nu ********\nv\t********\n" },
		{ "/etc/ipsec.secrets", ": PSK \"x\"\nh : XAUTH y\n a\n",
		  ": ********\nh : ********\n ********\n" },
		{ "/etc/postfix/sasl_passwd", "[h]:25 u:x\n[i] v:y\n",
		  "[h]:********\n[i] ********\n" },
		{ "/etc/rsyncd.secrets", "u:x\nv:y\n",
		  "u:********\nv:********\n" },
		{ "/etc/mosquitto/password_file", "u:x\nv:y\n",
		  "u:********\nv:********\n" },
		{ "/srv/.htpasswd", "u:x\nv:y\n", "u:********\nv:********\n" },
		{ "/etc/gshadow", "u:x::a\nv:y::\n",
		  "u:********\nv:********\n" },
		{ "/etc/group", "u:x:1:a\nv:x:2:\n", "u:x:1:a\nv:x:2:\n" },
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		ck_assert_str_eq(masked_as(files[i].path, files[i].text, NULL),
				 files[i].shown);
}
END_TEST

START_TEST(patterns_of_the_user_are_masked)
{
	ck_assert_str_eq(masked_as("/x", "a 12-34 b 56-78\n", "[0-9]+-[0-9]+"),
			 "a ******** b ********\n");
	ck_assert_str_eq(masked_as("/x", "site id=77; id=8\n", "id=([0-9]+)"),
			 "site id=********; id=********\n");
	ck_assert_str_eq(masked_as("/x", "ab\nb\n", "^b"), "ab\n********\n");
	ck_assert_str_eq(masked_as("/x", "\xe4\xff x\n", "\xe4."),
			 "******** x\n");
}
END_TEST

START_TEST(patterns_without_sense_are_refused)
{
	static const struct {
		const char *pattern, *told;
	} bad[] = {
		{ "", "1 to 256 bytes" },
		{ "(", "no regular expression" },
		{ "[z-a]", "no regular expression" },
		{ "(a)\\1", "refers back" },
		{ "(a{200}){200}", "repeats" },
		{ "a{1,4000}", "repeats" },
		{ "x*", "where there is nothing" },
	};
	CLEANUP(mask_free) struct mask *m = NULL;
	char large[MASK_PATTERN_MAX + 2];
	struct err e = { 0 };

	ck_ok(mask_new(&m, &e));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(mask_add(m, bad[i].pattern, &e), -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_msg(strstr(e.text, bad[i].told) != NULL, "%s",
			      e.text);
	}
	memset(large, 'a', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	ck_assert_int_eq(mask_add(m, large, &e), -1);
	for (size_t i = 0; i < MASK_PATTERNS; i++)
		ck_ok(mask_add(m, "a{2,16}b", &e));
	ck_assert_int_eq(mask_add(m, "a", &e), -1);
}
END_TEST

START_TEST(a_long_line_is_not_shown)
{
	char text[MASK_LINE_MAX + 64];

	memset(text, 'x', sizeof(text));
	text[MASK_LINE_MAX] = '\n';
	memcpy(text + MASK_LINE_MAX + 1, "a\n", 3);
	ck_assert_uint_eq(strlen(masked(text)), MASK_LINE_MAX + 3);
	memset(text, 'x', MASK_LINE_MAX + 1);
	memcpy(text + MASK_LINE_MAX + 1, "\na\n", 4);
	ck_assert_str_eq(masked(text), MASK_LONG "\na\n");
}
END_TEST

/* Lines that would take minutes of whoever looks at all of them for each name:
 * the program's time limit ends that. */
START_TEST(hostile_lines_are_hidden_whole)
{
	static const char *const parts[] = {
		"password a ",
		"bearer ",
		"name=password ",
		"a=/",
		"-----BEGIN CERTIFICATE-----",
		"-----BEGIN X-----a-----END X-----",
		"<password>a</",
		"<password ",
		"password = \"a\" + ",
		"a:b@tcp(",
		"token=<< ",
		"mysql -p",
		"<a:password",
		"-password [ ",
		"-password required a ",
	};
	static char text[(1 << 20) + 1];

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		const size_t n = strlen(parts[i]);

		memset(text, ' ', sizeof(text) / 2);
		for (size_t at = sizeof(text) / 2; at < sizeof(text) - 1; at++)
			text[at] = parts[i][at % n];
		ck_assert_str_eq(masked(text), MASK_LONG);
	}
}
END_TEST

static void cases(TCase *tc)
{
	tcase_add_test(tc, secrets_are_not_shown);
	tcase_add_test(tc, what_is_harmless_stays);
	tcase_add_test(tc, a_file_of_one_line_is_what_its_name_says);
	tcase_add_test(tc, a_file_is_what_its_path_says);
	tcase_add_test(tc, patterns_of_the_user_are_masked);
	tcase_add_test(tc, patterns_without_sense_are_refused);
	tcase_add_test(tc, a_long_line_is_not_shown);
	tcase_add_test(tc, hostile_lines_are_hidden_whole);
}

CHECK_MAIN("service/mask", cases)
