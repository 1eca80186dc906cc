from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BadRequestValues(_message.Message):
    __slots__ = ("field_violations",)
    FIELD_VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    field_violations: _containers.RepeatedCompositeFieldContainer[FieldViolationValues]
    def __init__(self, field_violations: _Optional[_Iterable[_Union[FieldViolationValues, _Mapping]]] = ...) -> None: ...

class FieldViolationValues(_message.Message):
    __slots__ = ("least", "most", "given", "others")
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    least: int
    most: int
    given: int
    others: _containers.RepeatedCompositeFieldContainer[OtherField]
    def __init__(self, least: _Optional[int] = ..., most: _Optional[int] = ..., given: _Optional[int] = ..., others: _Optional[_Iterable[_Union[OtherField, _Mapping]]] = ...) -> None: ...

class OtherField(_message.Message):
    __slots__ = ("field", "value")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    field: str
    value: int
    def __init__(self, field: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
