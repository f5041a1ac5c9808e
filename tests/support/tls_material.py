#!/usr/bin/python3
"""Certificates for servers of the tests, made when a test runs.

Aim: what a client must trust, and each thing that it must not.  In a folder:

    ca.pem              a private authority, the one to trust
    good.pem            by it, for 127.0.0.1, localhost, s3.localhost and
                        *.s3.localhost, from a day ago till tomorrow
    expired.pem         the same, till an hour ago
    wrong_host.pem      the same, for elsewhere.example
    stranger.pem        for the right hosts, by an authority that nobody trusts
    forged.pem          the same, by one that has the name of the trusted one

with NAME.key beside each NAME.pem.

    tls_material.py FOLDER
"""
import datetime
import ipaddress
import os
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = ("127.0.0.1", "localhost", "s3.localhost", "*.s3.localhost")
HOUR = datetime.timedelta(hours=1)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def signed(subject, key, issuer, issuer_key, ends, *extensions):
    now = datetime.datetime.utcnow()
    b = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer) \
        .public_key(key.public_key()) \
        .serial_number(x509.random_serial_number()) \
        .not_valid_before(now - 24 * HOUR).not_valid_after(now + ends)
    for extension, critical in extensions:
        b = b.add_extension(extension, critical)
    return b.sign(issuer_key, hashes.SHA256())


def authority(called):
    key, who = new_key(), name(called)
    return key, signed(
        who, key, who, key, 24 * HOUR,
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))


def server(by, hosts, ends):
    ca_key, ca = by
    key = new_key()
    alternatives = []
    for host in hosts:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            alternatives.append(x509.DNSName(host))
    return key, signed(
        name(hosts[0]), key, ca.subject, ca_key, ends,
        (x509.SubjectAlternativeName(alternatives), False),
        (x509.BasicConstraints(ca=False, path_length=None), True))


def write(folder, stem, pair):
    key, certificate = pair
    with open(os.path.join(folder, stem + ".pem"), "wb") as f:
        f.write(certificate.public_bytes(serialization.Encoding.PEM))
    with open(os.path.join(folder, stem + ".key"), "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM,
                                  serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))


def make(folder):
    ca = authority("snapctl tests")
    write(folder, "ca", ca)
    write(folder, "good", server(ca, HOSTS, 24 * HOUR))
    write(folder, "expired", server(ca, HOSTS, -HOUR))
    write(folder, "wrong_host", server(ca, ["elsewhere.example"], 24 * HOUR))
    write(folder, "stranger", server(authority("strangers"), HOSTS, 24 * HOUR))
    write(folder, "forged",
          server(authority("snapctl tests"), HOSTS, 24 * HOUR))


if __name__ == "__main__":
    make(sys.argv[1])
