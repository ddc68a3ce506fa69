"""Routes of certificates, for the owner."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import Body, PathParameter

from motehub.contracts import CertificateDesk, CertificateShape, HandedOut
from motehub.errors import CertificateError
from motehub.model import Scope, given_name
from motehub.web._api_access import ApiRequest, needs, services_of
from motehub.web._api_document import ADMIN, CONFLICT, NAMED, READING, problems
from motehub.web.problems import Problem, unavailable


class NewCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate to issue: with it a device logs in as ``name``."""

    name: str


class Authority(msgspec.Struct, frozen=True):
    """The certificate that devices trust, in PEM."""

    ca: str


@get(
    "/certificates",
    guards=[needs(Scope.ADMIN)],
    responses=problems(READING),
    summary="List certificates",
)
async def list_certificates(request: ApiRequest) -> list[CertificateShape]:
    """Return the authority's certificate, the hub's own and those of devices."""
    return await _desk(request).all()


@get(
    "/certificates/authority",
    guards=[needs(Scope.READ)],
    responses=problems(READING),
    summary="Show the certificate that devices trust",
)
async def show_authority(request: ApiRequest) -> Authority:
    """Return the hub's certificate authority."""
    return Authority(_desk(request).authority())


@post(
    "/certificates",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | CONFLICT),
    summary="Issue a certificate",
)
async def issue_certificate(
    request: ApiRequest, data: Annotated[NewCertificate, Body(description="For which device.")]
) -> HandedOut:
    """Issue a certificate for a device and return it with its key, which is not kept."""
    name = given_name(data.name)
    desk = _desk(request)
    if any(one.kind == "client" and one.name == name for one in await desk.all()):
        raise Problem(
            HTTPStatus.CONFLICT,
            "Name is taken",
            f"There is a certificate for {name!r} already. Revoke it first.",
        )
    return await desk.hand_out(name)


@delete(
    "/certificates/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED),
    summary="Revoke a certificate",
)
async def revoke_certificate(
    request: ApiRequest,
    name: Annotated[str, PathParameter(description="Name of the device.", max_length=200)],
) -> None:
    """Refuse a device's certificate from its next connection on, for good."""
    try:
        await _desk(request).revoke(name)
    except CertificateError as error:
        raise Problem(HTTPStatus.NOT_FOUND, "Not found", str(error)) from error


def _desk(request: ApiRequest) -> CertificateDesk:
    desk = services_of(request.app).certificates
    if desk is None:
        raise unavailable("This hub issues no certificates.")
    return desk
