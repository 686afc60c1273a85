"""TLS to the broker: whom to trust, who we are, and in plain words what went wrong."""

import errno
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ampedge.errors import ConfigError
from ampedge.settings import MqttSection

_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAME = (62, 64)  # of a host, of an IP address
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)
_ASKED_FOR_OURS = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")
_REFUSED_OURS = ("UNKNOWN_CA", "CERTIFICATE", "ACCESS_DENIED", "DECRYPT_ERROR")
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")


class TlsError(OSError):
    """No encrypted connection; the text is a clause about the broker.

    `lasting` says that somebody has to mend something.
    """

    def __init__(self, clause: str, *, lasting: bool = True) -> None:
        super().__init__(clause)
        self.lasting = lasting


class TlsSocket(ssl.SSLSocket):
    """Remembers the alert that ended it: a broker may refuse our certificate only after the handshake."""

    alert: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.alert = error
            raise


def context(mqtt: MqttSection) -> ssl.SSLContext | None:
    """How the connection is encrypted and what is checked, None without `mqtt.tls`.

    Raises ConfigError for files that cannot be used.
    """
    if not mqtt.tls:
        return None
    for key in ("ca_file", "cert_file", "key_file"):
        _readable(key, getattr(mqtt, key))
    try:
        made = ssl.create_default_context(cafile=mqtt.ca_file)
    except ssl.SSLError as error:
        raise ConfigError(
            f"mqtt.ca_file: {mqtt.ca_file} holds no certificate in PEM form.",
            "Give the certificate of the authority that signed the broker's.",
        ) from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.sslsocket_class = TlsSocket
    if mqtt.cert_file is not None:
        _load_ours(made, mqtt.cert_file, mqtt.key_file)
    return made


def encrypted(plain: Any, secure: ssl.SSLContext, host: str, timeout_s: float) -> ssl.SSLSocket:
    """The connected socket with TLS on it; raises TlsError, TimeoutError and other OSErrors, and closes it then."""
    plain.settimeout(timeout_s)
    try:
        return secure.wrap_socket(plain, server_hostname=host)
    except TimeoutError:
        plain.close()
        raise
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError) as error:
        plain.close()
        raise TlsError("it ended the handshake; perhaps it does not speak TLS on this port", lasting=False) from error
    except (ssl.SSLError, ssl.CertificateError) as error:
        plain.close()
        raise TlsError(in_words(error, host)) from error


def in_words(error: ssl.SSLError | ssl.CertificateError, host: str) -> str:
    """What went wrong, as a clause about the broker."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error, host)
    reason = getattr(error, "reason", None) or ""
    if any(word in reason for word in _NO_TLS):
        return "it does not speak TLS on this port"
    if "ALERT" in reason and any(word in reason for word in _ASKED_FOR_OURS):
        return "it refuses the handshake: perhaps it wants a client certificate (mqtt.cert_file, mqtt.key_file)"
    if "ALERT" in reason and any(word in reason for word in _REFUSED_OURS):
        return "it refuses this client's certificate (mqtt.cert_file)"
    return f"TLS failed ({reason.replace('_', ' ').lower() or error})"


def _distrust(error: ssl.SSLCertVerificationError, host: str) -> str:
    clock = f"this machine's clock says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    if error.verify_code == _NOT_YET_VALID:
        return f"its certificate is not valid yet, or the clock here is wrong: {clock}"
    if error.verify_code == _EXPIRED:
        return f"its certificate has expired: {clock}"
    if error.verify_code in _OTHER_NAME:
        return f"its certificate is for another name than {host}"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return "its certificate is signed by an authority that is not trusted here (mqtt.ca_file names those to trust)"
    return f"its certificate is not to be trusted ({error.verify_message})"


def _readable(key: str, file: str | None) -> None:
    if file is not None:
        try:
            path = Path(file)
            if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe may never end
                raise OSError(errno.EINVAL, "it is no file")
            path.open("rb").close()
        except OSError as error:
            raise ConfigError(
                f"mqtt.{key}: {file} cannot be read: {error.strerror}.", "Check the path and its rights."
            ) from error


def _load_ours(made: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    try:
        made.load_cert_chain(cert_file, key_file, password=lambda: "")  # else OpenSSL asks on the terminal
    except (ssl.SSLError, ValueError) as error:
        key = key_file or cert_file
        problem = f"{cert_file} and {key} do not hold a certificate and its key in PEM form, unencrypted."
        if "MISMATCH" in (getattr(error, "reason", None) or ""):
            problem = f"the key in {key} does not belong to the certificate in {cert_file}."
        raise ConfigError(
            f"mqtt.cert_file: {problem}", "Give the pair that the broker's authority issued for this client."
        ) from error
