"""The promised names: they are there, they are explained, and they open late."""

import inspect
import subprocess
import sys

import pytest

import nbchat

PUBLIC = sorted(nbchat.__all__)
HEAVY = ["ipywidgets", "IPython", "anywidget", "uvloop", "msgspec", "asyncio", "sqlite3", "prompt_toolkit"]


def python(program: str) -> str:
    """What a new Python prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def members() -> dict[str, object]:
    """Every public method and property that our public classes define themselves."""
    found = {}
    for name in PUBLIC:
        kind = getattr(nbchat, name)
        if not inspect.isclass(kind):
            continue
        for owner in kind.__mro__:
            if not owner.__module__.startswith("nbchat."):
                continue
            for attribute, value in vars(owner).items():
                is_ours = inspect.isfunction(value) or isinstance(
                    value, property | classmethod | staticmethod
                )
                if not attribute.startswith("_") and is_ours:
                    found[f"{name}.{attribute}"] = value
    return found


MEMBERS = members()


def test_the_promised_names_are_these():
    assert PUBLIC == [
        "ChatError", "ChatPanel", "Client", "Limits", "Server", "connect", "errors", "join", "serve",
    ]  # fmt: skip
    assert set(PUBLIC) <= set(dir(nbchat))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_promised_name_resolves_in_a_new_python(name):
    assert python(f"import nbchat; print(nbchat.{name} is nbchat.{name})") == "True"


def test_nothing_else_resolves():
    assert nbchat._HOMES.keys() == set(PUBLIC)
    with pytest.raises(AttributeError, match="'sevre'"):
        nbchat.sevre  # noqa: B018
    assert python("from nbchat import *; print(sorted(set(globals()) - set(__builtins__.__dict__)))").count(
        "'serve'"
    )


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_explained(name):
    assert inspect.getdoc(getattr(nbchat, name))


def test_there_are_members_to_look_at():
    assert {
        "Server.stop",
        "Server.url",
        "Client.send",
        "Client.messages",
        "ChatPanel.close",
    } <= MEMBERS.keys()


@pytest.mark.parametrize("name", MEMBERS)
def test_a_public_member_is_explained(name):
    assert (MEMBERS[name].__doc__ or "").strip()


def test_importing_opens_no_heavy_door():
    loaded = python("import nbchat, sys; print(*sys.modules)").split()
    assert "nbchat" in loaded
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_importing_takes_less_than_a_third_of_what_ipywidgets_takes():
    def seconds(module: str) -> float:
        clock = "from time import perf_counter as now; start = now()"
        return min(float(python(f"{clock}; import {module}; print(now() - start)")) for _ in range(3))

    assert seconds("nbchat") < seconds("ipywidgets") / 3


def test_tab_offers_the_promised_names_only():
    assert {name for name in dir(nbchat) if not name.startswith("_")} == set(PUBLIC)
    assert {"__doc__", "__version__"} <= set(dir(nbchat))
    shell = pytest.importorskip("IPython.core.completer")
    for jedi in (True, False):
        completer = shell.IPCompleter(namespace={"nbchat": nbchat}, use_jedi=jedi)
        with shell.provisionalcompleter():
            offered = {each.text.lstrip(".") for each in completer.completions("nbchat.", 7)}
        assert offered == set(PUBLIC)


def test_a_reload_changes_nothing():
    said = python(
        "import importlib, nbchat; server = nbchat.serve(port=0, history=None); serve = nbchat.serve\n"
        "ada = nbchat.connect(server, name='ada')\n"
        "nbchat = importlib.reload(nbchat)\n"
        "print(nbchat.serve is serve, isinstance(server, nbchat.Server), server.is_running)\n"
        "bob = nbchat.connect(server, name='bob'); bob.send('hi').wait()\n"
        "print(ada.wait_for(lambda message: True).text); bob.close(); ada.close(); server.stop()"
    )
    assert said == "True True True\nhi"


def test_where_no_notebook_is_the_warning_points_to_the_callers_line():
    said = python(
        "import nbchat, warnings; server = nbchat.serve(port=0, history=None)\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always'); panel = nbchat.join(server)\n"
        "print([each.filename for each in told if 'shows in a notebook' in str(each.message)])\n"
        "panel.close(); server.stop()"
    )
    assert said == "['<string>']"
