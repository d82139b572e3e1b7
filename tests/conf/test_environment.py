import pytest

from storagebus.conf.environment import overrides, variable
from storagebus.conf.lines import KeyPath

PARAMETERS = {
    "default": ["rootdirectory", "maxthreads"],
    "my-files": ["AccessKey", "some_key"],
}


def found(
    environ: dict[str, str], services: tuple[str, ...] = ("default", "my-files", "my")
) -> tuple[dict[KeyPath, str], list[str]]:
    values, problems = overrides(
        environ, services, lambda name, driver: PARAMETERS.get(name, [])
    )
    return values, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("BROKER_CLIENTS", ("broker", "clients")),
        ("BROKER_STREAMS_MAX", ("broker", "streams_max")),
        ("SERVICES_DEFAULT_DRIVER", ("services", "default", "driver")),
        ("SERVICES_MY_FILES_SLOTS", ("services", "my-files", "slots")),
        ("SERVICES_MY_SLOTS", ("services", "my", "slots")),
        (
            "SERVICES_DEFAULT_PARAMETERS_ROOTDIRECTORY",
            ("services", "default", "parameters", "rootdirectory"),
        ),
        # Spelled as the driver or the file spells them.
        (
            "SERVICES_MY_FILES_PARAMETERS_ACCESSKEY",
            ("services", "my-files", "parameters", "AccessKey"),
        ),
        (
            "SERVICES_MY_FILES_PARAMETERS_SOME_KEY",
            ("services", "my-files", "parameters", "some_key"),
        ),
        (
            "SERVICES_DEFAULT_PARAMETERS_NEW_ONE",
            ("services", "default", "parameters", "new_one"),
        ),
        # A service that the file does not have.
        ("SERVICES_NEW_ONE_DRIVER", ("services", "new_one", "driver")),
        ("SERVICES_NEW_PARAMETERS_A", ("services", "new", "parameters", "a")),
    ],
)
def test_which_key_a_variable_sets(name: str, path: KeyPath) -> None:
    assert found({f"STORAGEBUS_{name}": "v"}) == ({path: "v"}, [])


def test_variables_of_other_uses_are_left_alone() -> None:
    others = ("ENDPOINT", "SERVICE", "DEBUG", "WORKER_FD", "BROKERS", "LOG_LEVEL")
    environ = {f"STORAGEBUS_{name}": "x" for name in others}
    assert found({**environ, "PATH": "/bin"}) == ({}, [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("BROKER_CLIENT", "did you mean 'clients'?"),
        ("BROKER_", "unknown key"),
        ("SERVICES_DEFAULT_WORKRS", "did you mean 'workers'?"),
        ("SERVICES_OTHER_WORKER", "unknown key 'worker'; did you mean 'workers'?"),
        ("SERVICES_OTHER_ONE_SLOT", "unknown key 'slot'; did you mean 'slots'?"),
        ("SERVICES_DEFAULT_PARAMETERS", "parameters_NAME"),
        ("SERVICES_DEFAULT_PARAMETERS_", "unknown key"),
        ("SERVICES_", "unknown key"),
        ("SERVICES_NOBODY", "unknown key"),
    ],
)
def test_a_variable_that_means_nothing_is_a_problem(name: str, words: str) -> None:
    values, (problem,) = found({f"STORAGEBUS_{name}": "secret"})
    assert values == {}
    assert problem.startswith(f"STORAGEBUS_{name}: ")
    assert words in problem
    assert "secret" not in problem


def test_the_driver_of_the_environment_says_how_parameters_are_spelled() -> None:
    asked = []

    def names(service: str, driver: str | None) -> list[str]:
        asked.append((service, driver))
        return ["RootDirectory"]

    values, _ = overrides(
        {
            "STORAGEBUS_SERVICES_A_PARAMETERS_ROOTDIRECTORY": "/x",
            "STORAGEBUS_SERVICES_A_DRIVER": "acme",
        },
        [],
        names,
    )
    assert asked == [("a", "acme")]
    assert values["services", "a", "parameters", "RootDirectory"] == "/x"


def test_the_variable_of_a_key() -> None:
    path = ("services", "my-files", "parameters", "rootdirectory")
    assert variable(path) == "STORAGEBUS_SERVICES_MY_FILES_PARAMETERS_ROOTDIRECTORY"
