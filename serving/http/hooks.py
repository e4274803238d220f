"""The route of webhook deliveries."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field

from serving import routes
from serving.access.callers import Caller
from serving.http.service import Service
from serving.problems import Problem
from serving.webhooks import signatures as hooks
from serving.webhooks.inbox import Inbox


class HookAnswer(BaseModel):
    """The answer to a delivery."""

    status: Literal["accepted", "known", "ignored"] = Field(
        description="known: received before; ignored: it requests no retraining"
    )
    id: str = Field(description="Id of the delivery's trigger; of an ignored delivery, the id that it would have had")
    reason: str = Field(description="Why the model is to be retrained, or why not")


def add_hooks(app: FastAPI, service: Service, inbox: Inbox | None) -> None:
    """Add the route of webhooks to an application; without an inbox it refuses all deliveries."""

    @app.post(
        routes.HOOK.path,
        status_code=202,
        response_model=HookAnswer,
        responses={200: {"model": HookAnswer, "description": "The delivery requests no retraining"}},
        openapi_extra=_described(),
        # Without keys the route cannot be used, so OpenAPI does not list it.
        include_in_schema=inbox is not None and bool(inbox.keys),
    )
    async def retrain(model: str, request: Request, response: Response) -> Any:
        """Request a retraining by a signed delivery: Standard Webhooks, GitHub, or MLflow's registry.

        The signature is the credential; no API key is needed. A repeated delivery is answered 202 and starts no
        second retraining.
        """
        headers = request.scope["headers"]
        convention, result = hooks.convention_of(headers), "internal-error"
        try:
            answer = await _answered(inbox, service, model, request)
            result, response.status_code = answer.status, 200 if answer.status == "ignored" else 202
        except Problem as problem:
            result = problem.kind
            raise
        finally:
            service.metrics.hooks.labels(convention, result).inc()
        return answer


async def _answered(inbox: Inbox | None, service: Service, model: str, request: Request) -> HookAnswer:
    if inbox is None:
        raise Problem("unauthenticated", "this service does not accept webhook deliveries")
    exchange, body = request.scope["perennial.exchange"], await request.body()
    signed = await inbox.signed(request.scope["headers"], body, model, exchange.client)
    # Only unverified deliveries share places; the sender's rate bounds the verified ones.
    exchange.end_work()
    exchange.caller = Caller(f"hook:{signed.convention}:{signed.sender}", signed.sender, frozenset())
    inbox.check_model(model, service)
    asked = await inbox.requested(signed, body, model)
    if asked.ignored:
        return HookAnswer(status="ignored", id=signed.trigger_id, reason=asked.reason)
    is_new = await inbox.keep(signed, asked, model)
    return HookAnswer(status="accepted" if is_new else "known", id=signed.trigger_id, reason=asked.reason)


def _described() -> dict[str, Any]:
    text = {"type": "string", "maxLength": 200}
    headers = [
        {"name": name, "in": "header", "required": False, "schema": text, "description": about}
        for name, about in (
            ("webhook-id", "Standard Webhooks: unique, without a dot"),
            ("webhook-timestamp", "Standard Webhooks: seconds since 1970"),
            ("webhook-signature", "Standard Webhooks: v1, a comma and base64; several are separated by spaces"),
            ("x-hub-signature-256", "GitHub: sha256= and 64 hexadecimal digits"),
            ("x-github-event", "GitHub: the event's name"),
            ("x-mlflow-delivery-id", "MLflow: unique"),
            ("x-mlflow-timestamp", "MLflow: seconds since 1970"),
            ("x-mlflow-signature", "MLflow: v1, a comma and base64"),
        )
    ]
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"parameters": headers, "requestBody": body}
