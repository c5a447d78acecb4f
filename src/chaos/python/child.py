"""Runs functions of Python modules for an experiment: a JSON request a line, a JSON answer a line."""

import copy
import importlib
import inspect
import json
import os
import sys
import traceback

answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
# What functions print is not an answer.
os.dup2(2, 1)
if "" in sys.path:
    sys.path.remove("")
sys.path.append(os.getcwd())


def received(value):
    """Bytes come as {"$bytes": text}."""
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return value["$bytes"].encode("utf-8")
        return {key: received(item) for key, item in value.items()}
    if isinstance(value, list):
        return [received(item) for item in value]
    return value


def sent(value):
    """What JSON does not know becomes text, as in the journal."""
    if isinstance(value, bytes):
        return {"$bytes": value.decode("utf-8", "replace")}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def interruption(error):
    return any(cls.__name__ == "InterruptExecution" for cls in type(error).__mro__)


def last_line(error):
    return traceback.format_exception_only(type(error), error)[0].strip()


def validate_one(activity):
    """Why the function cannot be called so, in the words people know; None when it can."""
    name = activity.get("name")
    provider = activity["provider"]
    module_name, func = provider["module"], provider["func"]
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return f"could not find Python module '{module_name}' in activity '{name}'"
    candidates = dict(inspect.getmembers(module, inspect.isfunction))
    candidates.update(inspect.getmembers(module, inspect.isbuiltin))
    if func not in candidates:
        return (
            f"The python module '{module_name}' does not expose a function called "
            f"'{func}' in {activity['type']} '{name}'"
        )
    signature = inspect.signature(candidates[func])
    arguments = dict(provider.get("arguments", {}))
    for special in ("secrets", "configuration"):
        if special in signature.parameters:
            arguments[special] = None
    try:
        signature.bind(**arguments)
    except TypeError as error:
        message = str(error)
        if "missing" in message:
            argument = message.rsplit(":", 1)[1].strip()
            return f"required argument {argument} is missing from activity '{func}'"
        if "unexpected" in message:
            argument = message.rsplit(" ", 1)[1].strip()
            return f"argument {argument} is not part of the function signature in activity '{func}'"
        raise
    return None


def validate(request):
    results = []
    for activity in request["activities"]:
        try:
            message = validate_one(received(activity))
            results.append({"invalid": message} if message else {})
        except BaseException as error:  # noqa: BLE001 - modules may do anything when imported
            results.append({"broken": last_line(error)})
    return {"results": results}


def run(request):
    module = importlib.import_module(request["module"])
    function = getattr(module, request["func"])
    arguments = received(request["arguments"])
    signature = inspect.signature(function)
    if request.get("secrets") is not None and "secrets" in signature.parameters:
        arguments["secrets"] = received(request["secrets"])
    if "configuration" in signature.parameters:
        arguments["configuration"] = received(request["configuration"])
    try:
        return {"output": function(**arguments)}
    except BaseException as error:  # noqa: BLE001
        if isinstance(error, (SystemExit, KeyboardInterrupt)) or interruption(error):
            return {"interrupt": str(error)}
        trace = traceback.format_exception(type(error), error, error.__traceback__)
        return {"failed": last_line(error), "trace": trace}


def module_of(request):
    try:
        return importlib.import_module(request["module"])
    except ImportError:
        return None


def control(request):
    """One hook of a control: what it wants besides the context it says by its parameters."""
    module = module_of(request)
    function = getattr(module, request["hook"], None) if module else None
    if function is None:
        return {"found": module is not None}
    arguments = received(copy.deepcopy(request.get("arguments") or {}))
    parameters = inspect.signature(function).parameters
    offered = received(request.get("offered") or {})
    arguments.update({key: value for key, value in offered.items() if key in parameters})
    arguments.update(received(request.get("given") or {}))
    try:
        function(**arguments)
    except Exception as error:  # noqa: BLE001
        if interruption(error):
            return {"found": True, "interrupt": str(error)}
        return {"found": True, "failed": last_line(error)}
    return {"found": True}


def answer(request):
    kinds = {"validate": validate, "run": run, "control": control}
    try:
        return kinds[request["kind"]](request)
    except BaseException as error:  # noqa: BLE001
        return {"broken": last_line(error)}


for line in sys.stdin:
    reply = answer(json.loads(line))
    try:
        text = json.dumps(reply, default=sent)
    except (TypeError, ValueError) as error:
        text = json.dumps({"broken": last_line(error)})
    answers.write(text + "\n")
    answers.flush()
