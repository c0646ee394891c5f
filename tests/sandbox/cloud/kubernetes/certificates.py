"""The keys and certificates of a cluster: an authority, and what each component shows to the others."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def new_service_account_key():
    """The key that service-account tokens are signed with; RSA, as on EKS."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key):
    """A private key as a file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key):
    """The public half of a key as a file has it."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Authority:
    """A certificate authority of its own."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._certificate = builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self):
        """Its certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def for_client(self, user, *groups):
        """Certificate and key of a client."""
        return self._issue(user, groups, [], ExtendedKeyUsageOID.CLIENT_AUTH)

    def for_server(self, name, alternatives):
        """Certificate and key of a server with these names and addresses."""
        return self._issue(name, (), alternatives, ExtendedKeyUsageOID.SERVER_AUTH)

    def _issue(self, name, groups, alternatives, usage):
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if alternatives:
            names = x509.SubjectAlternativeName([_general(name) for name in alternatives])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), private_pem(key)

    def _builder(self, subject, key):
        start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=3650))
        )


def _general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
