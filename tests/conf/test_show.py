import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storagebus.conf.check import check
from storagebus.conf.show import as_toml, shown_fields

DOCUMENT: dict[str, Any] = {
    "broker": {"clients": "ipc:///c", "id": "x"},
    "services": {
        "files": {
            "driver": "filesystem",
            "parameters": {"rootdirectory": {"env": "ROOT"}},
        },
        "cloud": {
            "driver": "not-installed-here",
            "parameters": {"region": "r", "secretkey": "hunter2"},
        },
    },
}


def test_secrets_are_redacted_and_references_kept() -> None:
    configuration = check(DOCUMENT, {}, "f", {"ROOT": "hunter3"}, hosts=("files",))
    fields = shown_fields(configuration)
    assert fields["broker"]["clients"] == ["ipc:///c"]
    assert fields["broker"]["heartbeat_ms"] == 1_000
    services = fields["services"]
    assert services["files"]["parameters"] == {"rootdirectory": {"env": "ROOT"}}
    assert services["cloud"]["parameters"] == {
        "region": "r",
        "secretkey": "(redacted)",
    }
    text = as_toml(fields)
    assert "hunter" not in text
    assert tomllib.loads(text) == fields


KEYS = st.text(max_size=5)
VALUES = st.recursive(
    st.one_of(
        st.text(max_size=8),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.floats(allow_nan=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=3))
def test_any_document_reads_back(document: dict[str, Any]) -> None:
    assert tomllib.loads(as_toml(document)) == document
