"""The typed client has every call of the contract."""

import re

from redemption.client import RedemptionClient, connect
from redemption.v1 import campaign_service_pb2, issuance_service_pb2, redemption_service_pb2


def test_every_method_of_every_service_can_be_called():
    modules = (redemption_service_pb2, issuance_service_pb2, campaign_service_pb2)
    methods = [
        re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    with connect("127.0.0.1:1") as channel:
        client = RedemptionClient(channel)
    assert sorted(vars(client)) == sorted(methods)
