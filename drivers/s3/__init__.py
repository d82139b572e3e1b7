"""Objects in an S3 bucket, under the keys that the registry's own driver gives them.

A record of each upload lies beside the objects, below ROOT~uploads/ (see `chain`):
which parts are stored, what is too small to be one, and who may go on. Only `client`
and `credentials` import the SDK, and only when the first call needs it.
"""

from __future__ import annotations

from importlib.util import find_spec

from .driver import S3Driver

if find_spec("boto3") is None:
    # Said now, to whoever asks for the driver, and not at the first call.
    raise ImportError("No module named 'boto3'")

__all__ = ["S3Driver"]
