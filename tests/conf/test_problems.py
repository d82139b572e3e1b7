from storagebus.conf.problems import ConfigurationError, Problem, dotted, suggestion


def test_a_problem_says_where_which_and_what() -> None:
    assert str(Problem("f.toml", 3, "broker.x", "is wrong")) == (
        "f.toml:3: broker.x: is wrong"
    )
    assert str(Problem("VARIABLE", None, "a.b", "is wrong")) == (
        "VARIABLE: a.b: is wrong"
    )
    assert str(Problem("f.toml", 1, "", "is wrong")) == "f.toml:1: is wrong"


def test_the_error_holds_all() -> None:
    problems = [Problem("f", line, "k", "m") for line in (1, 2)]
    error = ConfigurationError(problems)
    assert error.problems == tuple(problems)
    assert "f:1: k: m; f:2: k: m" in str(error)


def test_the_nearest_name_is_suggested() -> None:
    assert "did you mean 'workers'?" in suggestion("wokers", ["workers", "driver"])
    assert "did you mean 'slots'?" in suggestion("SLOTS", ["slots"])
    assert "did you mean" not in suggestion("zzz", ["workers"])
    assert "(known: a, b)" in suggestion("zzz", ["b", "a"])


def test_paths_read_as_in_the_file() -> None:
    assert dotted(("services", "a-b", "x_1")) == "services.a-b.x_1"
    assert dotted(("services", "a b", "x")) == 'services."a b".x'
    assert dotted(("broker", "clients", 1)) == "broker.clients[1]"
