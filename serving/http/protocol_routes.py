"""The routes of the Open Inference Protocol that are no predictions: metadata, and whether something is ready.

Predictions (``/v2/models/{model}/infer``) are answered in :mod:`serving.http.entry`.
"""

from __future__ import annotations

from importlib import metadata as installed
from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel

from serving import routes
from serving.http.entry import check_version
from serving.http.loaded import Loaded
from serving.http.service import Service
from serving.model.tensors import metadata


class ServerMetadata(BaseModel):
    """The server, as the protocol describes it."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor of a model; -1 in the shape stands for the number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model, as the protocol describes it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


class Readiness(BaseModel):
    """Whether the server or a model answers predictions."""

    name: str = ""
    ready: bool


NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Readiness}}


def add_protocol(app: FastAPI, service: Service) -> None:
    """Add the routes.

    Parameters
    ----------
    app
        The application of the service.
    service
        Its models, and whether it accepts requests.
    """
    _add_server(app, service)

    @app.get(routes.V2_MODEL.path, response_model=ModelMetadata)
    async def model_metadata(model: str) -> Any:
        """Tensors, classes and version of a model."""
        return metadata(service.loaded(model).model)

    @app.get(routes.V2_MODEL_VERSION.path, response_model=ModelMetadata)
    async def model_version_metadata(model: str, version: str) -> Any:
        """Tensors, classes and version of a model, if this version is served."""
        return metadata(_served(service, model, version).model)

    @app.get(routes.V2_MODEL_READY.path, response_model=Readiness, responses=NOT_READY)
    async def model_ready(model: str, response: Response) -> Any:
        """Whether a model answers predictions."""
        return _readiness(service, response, service.loaded(model).model.name)

    @app.get(routes.V2_MODEL_VERSION_READY.path, response_model=Readiness, responses=NOT_READY)
    async def model_version_ready(model: str, version: str, response: Response) -> Any:
        """Whether a version of a model answers predictions."""
        return _readiness(service, response, _served(service, model, version).model.name)


def _add_server(app: FastAPI, service: Service) -> None:
    @app.get(routes.V2_LIVE.path, response_model=Readiness)
    async def server_live() -> Any:
        """Whether the process runs."""
        return Readiness(ready=True)

    @app.get(routes.V2_READY.path, response_model=Readiness, responses=NOT_READY)
    async def server_ready(response: Response) -> Any:
        """Whether the worker accepts requests."""
        return _readiness(service, response)

    @app.get(routes.V2_SERVER.path, response_model=ServerMetadata)
    @app.get(routes.V2_SERVER_SLASH.path, response_model=ServerMetadata, include_in_schema=False)
    async def server_metadata() -> Any:
        """Name and version of the server; it has no extensions of the protocol."""
        return ServerMetadata(name="perennial", version=installed.version("perennial"), extensions=[])


def _readiness(service: Service, response: Response, name: str = "") -> Readiness:
    is_ready = service.not_ready_because() is None
    response.status_code = 200 if is_ready else 503
    return Readiness(name=name, ready=is_ready)


def _served(service: Service, model: str, version: str) -> Loaded:
    found = service.loaded(model)
    check_version(found, version)
    return found
