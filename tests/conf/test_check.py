import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from storagebus.conf.check import NO_OPTIONS, Options, check
from storagebus.conf.lines import scan
from storagebus.conf.problems import PROBLEMS_MAX, ConfigurationError, Problem
from storagebus.conf.schema import Configuration


def load(
    text: str,
    environ: Mapping[str, str] | None = None,
    hosts: Collection[str] | None = None,
    *,
    options: Options = NO_OPTIONS,
    listens: bool = True,
    directory: Path = Path("/etc"),
) -> Configuration:
    return check(
        tomllib.loads(text),
        scan(text),
        str(directory / "f.toml"),
        environ or {},
        hosts,
        options=options,
        listens=listens,
    )


def problems(text: str, **given: object) -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        load(text, **given)  # type: ignore[arg-type]
    return list(caught.value.problems)


def marked(text: str, **given: object) -> None:
    """Check that a text has just the problems that its `#! key: words` say."""
    wanted = []
    for number, line in enumerate(text.splitlines(), 1):
        wanted += [(number, mark) for mark in re.findall(r"#! ([^#]+)", line)]
    found = problems(text, **given)
    shown = "\n".join(map(str, found))
    assert len(found) == len(wanted), shown
    for number, mark in wanted:
        key, _, words = mark.strip().partition(": ")
        assert any(
            problem.line == number
            and problem.key == key
            and all(word in problem.message for word in words.split(" ... "))
            for problem in found
        ), f"line {number}, {mark}\n{shown}"


def test_every_problem_is_found_at_once() -> None:
    marked("""
    [broker]
    client = "ipc:///run/c"                 #! broker.client: did you mean 'clients'?
    clients = ["ipc:///run/c", "udp://x"]   #! broker.clients: 'udp://x'
    workers = "ipc://relative"              #! broker.workers: absolute path
    heartbeat_ms = 5                        #! broker.heartbeat_ms: from 50 to 60000
    streams_max = true                      #! broker.streams_max: whole number
    id = "a b"                              #! broker.id: A-Z a-z 0-9
    allow_unauthenticated_network = "maybe" #! broker.allow_unauthenticated_network: true or false
    [servces]                               #! servces: did you mean 'services'?
    [services.default]                      #! services.default: 'driver' is missing
    drivr = "filesystem"                    #! services.default.drivr: did you mean 'driver'?
    workers = 0                             #! services.default.workers: from 1 to 256
    slots = "many"                          #! services.default.slots: whole number
    [services."a b"]                        #! services."a b": a service's name
    driver = "Filesystem"                   #! services."a b".driver: lower-case
    [services.one]
    driver = "filesystem"
    parameters.rootdir = "/x"               #! services.one.parameters.rootdir: did you mean 'rootdirectory'?
    parameters.maxthreads = "lots"          #! services.one.parameters.maxthreads: whole number
    [services.two]
    driver = "there-is-no-such"             #! services.two.driver: no such storage driver ... looked for
    parameters = 3                          #! services.two.parameters: must be a table
    """)  # noqa: E501


def test_sections_that_are_no_tables() -> None:
    marked("broker = 1 #! broker: must be a table")
    marked("services = [1] #! services: must be a table")
    marked("[services]\ndefault = 'x' #! services.default: must be a table")


def test_each_address_of_a_list_has_its_line() -> None:
    marked(
        """
    [broker]
    clients = [
        "ipc:///run/c",
        "tcp://0.0.0.0:7400",  #! broker.clients[1]: reached from other hosts
    ]
    workers = "ipc:///run/c"   #! broker.workers: the clients' door already
    """
    )


NETWORK = '[broker]\nclients = "tcp://{}:7400"\n'


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.0.2.1", "example.org", "[::]"])
def test_no_listening_beyond_this_host_unless_told_so(host: str) -> None:
    text = NETWORK.format(host)
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (2, "broker.clients")
    assert "allow_unauthenticated_network = true" in problem.message
    load(text + "allow_unauthenticated_network = true")
    load(text, listens=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3"])
def test_this_host_may_be_listened_at(host: str) -> None:
    assert load(NETWORK.format(host)).broker.clients == (f"tcp://{host}:7400",)


SECRETS = """
[services.a]
driver = "filesystem"
[services.a.parameters]
rootdirectory = { env = "A_ROOT" }
[services.b]
driver = "filesystem"
parameters = { rootdirectory = { file = "b_root" } }
"""


def test_references_are_followed(tmp_path: Path) -> None:
    (tmp_path / "b_root").write_text("/b\n")
    found = load(SECRETS, {"A_ROOT": "/a"}, directory=tmp_path)
    assert found.services["a"].parameters == {"rootdirectory": "/a"}
    assert found.services["b"].parameters == {"rootdirectory": "/b"}
    assert found.services["a"].references["rootdirectory"].kind == "env"


def test_missing_secrets_are_problems_of_their_line(tmp_path: Path) -> None:
    found = problems(SECRETS, directory=tmp_path)
    assert [(problem.line, problem.key) for problem in found] == [
        (5, "services.a.parameters.rootdirectory"),
        (8, "services.b.parameters.rootdirectory"),
    ]
    assert "A_ROOT is not set" in found[0].message
    assert "b_root" in found[1].message


def test_only_the_secrets_of_what_is_hosted_are_needed(tmp_path: Path) -> None:
    found = load(SECRETS, {"A_ROOT": "/a"}, hosts=("a",), directory=tmp_path)
    assert found.services["a"].parameters == {"rootdirectory": "/a"}
    assert found.services["b"].parameters == {}
    assert list(load(SECRETS, hosts=(), directory=tmp_path).services) == ["a", "b"]


def test_only_the_drivers_of_what_is_hosted_are_needed() -> None:
    text = '[services.a]\ndriver = "there-is-no-such"\n'
    assert load(text, hosts=()).services["a"].driver == "there-is-no-such"
    assert len(problems(text)) == 1


def test_secrets_are_never_in_a_message() -> None:
    text = """
    [services.a]
    driver = "filesystem"
    parameters = { rootdirectory = "/x", maxthreads = "hunter2", wrong = "hunter2" }
    """
    found = problems(text, environ={"STORAGEBUS_BROKER_FOO": "hunter2"})
    assert len(found) == 3
    assert "hunter2" not in "".join(map(str, found))


def test_an_override_is_blamed_for_its_value() -> None:
    text = '[broker]\nclients = "ipc:///run/c"\n'
    environ = {
        "STORAGEBUS_BROKER_CLIENTS": "nonsense",
        "STORAGEBUS_BROKER_CLIENT": "x",
        "STORAGEBUS_SERVICES_DEFAULT_DRIVER": "filesystem",
        "STORAGEBUS_SERVICES_DEFAULT_WORKERS": "-1",
        "STORAGEBUS_SERVICES_DEFAULT_PARAMETERS_MAXTHREADS": "x",
    }
    found = {problem.origin: problem for problem in problems(text, environ=environ)}
    assert set(found) == set(environ) - {"STORAGEBUS_SERVICES_DEFAULT_DRIVER"}
    assert found["STORAGEBUS_BROKER_CLIENTS"].key == "broker.clients"
    assert found["STORAGEBUS_BROKER_CLIENTS"].line is None


def test_options_count_more_than_the_environment_and_that_more_than_the_file() -> None:
    text = """
    [broker]
    clients = "ipc:///file"
    workers = "ipc:///file-w"
    id = "file"
    """
    environ = {
        "STORAGEBUS_BROKER_CLIENTS": "ipc:///environment, tcp://127.0.0.1:1",
        "STORAGEBUS_BROKER_ID": "environment",
    }
    options: Options = {("broker", "id"): ("--id", "option")}
    broker = load(text, environ, options=options).broker
    assert broker.clients == ("ipc:///environment", "tcp://127.0.0.1:1")
    assert broker.workers == ("ipc:///file-w",)
    assert broker.id == "option"


def test_a_wrong_option_is_named() -> None:
    options: Options = {
        ("services", "x", "driver"): ("--driver", "filesystem"),
        ("services", "x", "parameters"): ("--parameters", {"roodirectory": "/"}),
    }
    (problem,) = problems("", options=options)
    assert str(problem).startswith("--parameters: services.x.parameters.roodirectory: ")


def test_a_driver_that_cannot_be_shared_has_one_process() -> None:
    text = '[services.m]\ndriver = "inmemory"\nworkers = 2\n'
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (3, "services.m.workers")
    assert "must be 1" in problem.message
    assert load(text.replace("2", "1")).services["m"].workers == 1


def test_nor_may_it_grow() -> None:
    text = '[services.m]\ndriver = "inmemory"\nworkers_max = 2\n'
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (3, "services.m.workers_max")
    assert load(text.replace("2", "1")).services["m"].most == 1


def test_the_most_workers_are_at_least_as_many_as_the_least() -> None:
    text = (
        '[services.m]\ndriver = "filesystem"\nworkers = 3\nworkers_max = 2\n'
        'parameters = { rootdirectory = "/data" }\n'
    )
    (problem,) = problems(text)
    assert (problem.line, problem.key) == (4, "services.m.workers_max")
    assert "at least workers, which is 3" in problem.message
    assert load(text.replace("= 2", "= 5")).services["m"].most == 5
    assert load(text.replace("= 2", "= 0")).services["m"].most == 3


def test_dates_are_not_for_parameters() -> None:
    text = '[services.a]\ndriver = "filesystem"\nparameters.rootdirectory = 2026-01-01'
    found = problems(text)
    assert any("dates" in problem.message for problem in found)


def test_problems_are_bounded() -> None:
    text = "[broker]\n" + "\n".join(f"wrong{n} = {n}" for n in range(PROBLEMS_MAX + 50))
    assert len(problems(text)) == PROBLEMS_MAX
