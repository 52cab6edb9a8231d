"""Errors of an MLflow store in words, and without passwords."""

import re

UNREACHABLE = "can't connect"


class StoreError(ValueError):
    """The MLflow store can't be used; the message says where it is and what to do."""


def redact_credentials(text: str) -> str:
    """Return the text with user and password removed from each URL: https://me:pw@host becomes https://host."""
    return re.sub(r"(?<=://)[^/\s@]*@", "", text)


def explain(error: Exception) -> str:
    """Return the cause of an error, and the fix where it is known, in one line without passwords."""
    text = str(error) or type(error).__name__
    if found := re.search(r"error code (\d{3})|too many (\d{3}) error responses|^(\d{3}) \w+ Error", text):
        return _explain_status(int(found[1] or found[2] or found[3]), text)
    if "API request to" not in text:
        return redact_credentials(text.splitlines()[0])
    return "timed out" if re.search("timeout|timed out", text, re.IGNORECASE) else UNREACHABLE


def _explain_status(status: int, text: str) -> str:
    """Return what an HTTP status means; text: has the path of the request, and MLflow's reason."""
    path = re.search(r"/(?:ajax-)?api/[\w./\-]+", text)
    where = f"({status} to {path[0]})" if path else f"({status})"
    if status == 401:
        return f"wrong user name or password {where}: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if status == 403 and "Invalid Host" in text:
        return f"host name not allowed {where}: add it to the server's --allowed-hosts"
    if status == 403:
        return f"permission denied {where}: ask the server's administrator"
    if status >= 500 and "mlflow-artifacts" in text:
        return (
            f"artifact store failed {where}: the bucket may be full or away, or the server's key for it expired; the "
            "server's log has the cause"
        )
    return f"server error {where}"
