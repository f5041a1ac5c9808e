#!/usr/bin/python3
"""Who gives keys to programs on Amazon's machines, on one port of this one.

STS (AssumeRoleWithWebIdentity), a container's credentials agent and an
instance's metadata service, version 2, as their documentation has them.  For
Python tests Identity is a server that runs in a thread; as a program it says
its port on standard output and ends with its standard input:

    s3_identity.py [LIFE]

Each keys are new ones: STS1, STS2, …, CONTAINER1, …, INSTANCE1, …, whose
secrets are "secret-of-ID" and whose tokens are "token-of-ID"; they are good
for LIFE seconds (3600).
"""
import datetime
import http.server
import json
import sys
import threading
import urllib.parse

TOKEN = "web.identity"  # what STS takes for a known identity
ROLE_ARN = "arn:aws:iam::123456789012:role/backup"
AGENT = "agent-token"  # what the container's agent wants to see
ROLE = "backup-role"  # of the instance
ROLES = "/latest/meta-data/iam/security-credentials/"
STS_SPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body, kind="text/plain"):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        n = int(self.headers.get("Content-Length", "0"))
        return self.rfile.read(n).decode()

    def keys(self, kind):
        key, end = self.server.identity.issue(kind)
        self.reply(200, json.dumps({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key,
            "SecretAccessKey": "secret-of-" + key,
            "Token": "token-of-" + key, "Expiration": end}),
            "application/json")

    def do_PUT(self):
        self.body()
        life = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token":
            self.reply(404, "")
        elif not life.isdigit() or not 1 <= int(life) <= 21600:
            self.reply(400, "")
        else:
            self.reply(200, self.server.identity.open_session())

    def do_GET(self):
        me = self.server.identity
        if self.path == "/container":
            if self.headers.get("Authorization") == AGENT:
                self.keys("CONTAINER")
            else:
                self.reply(401, json.dumps({"code": "NoToken",
                                            "message": "who are you"}))
        elif self.headers.get("X-aws-ec2-metadata-token") not in me.sessions:
            self.reply(401, "")
        elif self.path == ROLES:
            self.reply(200, ROLE)
        elif self.path == ROLES + ROLE:
            self.keys("INSTANCE")
        else:
            self.reply(404, "")

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.body(), strict_parsing=True))
        if self.path != "/" or \
           form.get("Action") != "AssumeRoleWithWebIdentity" or \
           form.get("Version") != "2011-06-15" or \
           len(form.get("RoleSessionName", "")) < 2:
            self.refuse(400, "InvalidAction", "no such thing")
        elif form.get("RoleArn") != ROLE_ARN:
            self.refuse(403, "AccessDenied", "Not authorized to perform "
                        "sts:AssumeRoleWithWebIdentity")
        elif form.get("WebIdentityToken") != TOKEN:
            self.refuse(400, "InvalidIdentityToken", "bad: " +
                        form.get("WebIdentityToken", ""))
        else:
            self.assume()

    def refuse(self, status, code, message):
        self.reply(status, f"""<ErrorResponse xmlns="{STS_SPACE}">
  <Error><Type>Sender</Type><Code>{code}</Code>
    <Message>{message}</Message></Error>
  <RequestId>c6104cbe</RequestId>
</ErrorResponse>
""", "text/xml")

    def assume(self):
        key, end = self.server.identity.issue("STS")
        self.reply(200, f"""<AssumeRoleWithWebIdentityResponse
    xmlns="{STS_SPACE}">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:x</SubjectFromWebIdentityToken>
    <AssumedRoleUser><Arn>{ROLE_ARN}</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{key}</AccessKeyId>
      <SecretAccessKey>secret-of-{key}</SecretAccessKey>
      <SessionToken>token-of-{key}</SessionToken>
      <Expiration>{end}</Expiration>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>ad4156e9</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>
""", "text/xml")


class Identity:
    """A server on self.port until close()."""

    def __init__(self, life=3600):
        self.life = life
        self.sessions = set()
        self.issued = []  # ids, in order
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.server.daemon_threads = True
        self.server.identity = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       args=(0.02,), daemon=True)
        self.thread.start()

    def open_session(self):
        with self.lock:
            name = f"session-{len(self.sessions)}"
            self.sessions.add(name)
        return name

    def issue(self, kind):
        with self.lock:
            number = sum(key.startswith(kind) for key in self.issued) + 1
            self.issued.append(f"{kind}{number}")
        end = datetime.datetime.now(datetime.timezone.utc) + \
            datetime.timedelta(seconds=self.life)
        return f"{kind}{number}", end.strftime("%Y-%m-%dT%H:%M:%SZ")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def main():
    identity = Identity(int(sys.argv[1]) if len(sys.argv) > 1 else 3600)
    print(identity.port, flush=True)
    sys.stdin.read()
    identity.close()


if __name__ == "__main__":
    main()
