"""Objects in a container of Azure Blob Storage, under the registry driver's names.

An upload is a blob of its own below ROOT~uploads/ (see `staging`): its blocks are what
is stored, its metadata says who may go on, and every step is conditional on its ETag.
Only `client` and `credentials` import the SDK, and only when the first call needs it.
"""

from __future__ import annotations

from .driver import AzureDriver

__all__ = ["AzureDriver"]
