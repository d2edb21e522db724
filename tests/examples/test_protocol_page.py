#!/usr/bin/python3
"""test_protocol_page.py TREE: docs/worker-protocol.md has a section for each message of worker.proto, which names each of its
fields, and none for others; and that is noticed when it is not so."""
import os
import re
import subprocess
import sys

from google.protobuf import descriptor_pb2

TREE = sys.argv[1]


def messages():
    """{message: [field]} of the contract."""
    protos = os.path.join(TREE, "proto")
    out = subprocess.run(["protoc", "-I", protos, "--descriptor_set_out=/dev/stdout", "joblog/v1/worker.proto"], check=True,
                         stdout=subprocess.PIPE).stdout
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out).file
    return {message.name: [field.name for field in message.field] for message in file.message_type}


def missing(page, contract):
    parts = re.split(r"^### `(\w+)`$", page, flags=re.MULTILINE)
    sections = {name: re.split(r"^##? ", text, flags=re.MULTILINE)[0] for name, text in zip(parts[1::2], parts[2::2])}
    wrong = [f"no section `{name}`" for name in contract if name not in sections]
    wrong += [f"a section `{name}` of no message" for name in sections if name not in contract]
    for name, fields in contract.items():
        wrong += [f"`{name}` says nothing of `{field}`" for field in fields if f"`{field}`" not in sections.get(name, "")]
    return wrong


def main():
    contract = messages()
    with open(os.path.join(TREE, "docs/worker-protocol.md"), encoding="utf-8") as file:
        page = file.read()
    assert len(contract) > 15, contract
    wrong = missing(page, contract)
    assert not wrong, "docs/worker-protocol.md: " + "; ".join(wrong)
    assert missing(page.replace("### `FailWrite`", ""), contract)
    assert missing(page.replace("`lease_token`", "the token"), contract)
    assert missing(page + "\n### `NoSuchThing`\n", contract)
    print(f"{len(contract)} messages are told of")


if __name__ == "__main__":
    main()
