"""Sends a directory with the AWS common runtime: crt.py ENDPOINT DIRECTORY BUCKET PREFIX. A process of its own, under measurement.

The command line of this generation cannot, and boto3 forgets the endpoint when it uses the runtime; so the layer below them is asked.
"""
import os
import sys
from pathlib import Path

from awscli.botocore.config import Config
from awscli.botocore.session import Session
from awscli.s3transfer.crt import BotocoreCRTCredentialsWrapper, BotocoreCRTRequestSerializer, CRTTransferManager, create_s3_crt_client


def main(endpoint, directory, bucket, prefix):
    session = Session()
    how = {"region_name": "us-east-1", "endpoint_url": endpoint, "config": Config(s3={"addressing_style": "path"})}
    serializer = BotocoreCRTRequestSerializer(session, how)
    keys = BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
    verify = os.environ.get("AWS_CA_BUNDLE", False)
    client = create_s3_crt_client("us-east-1", keys, use_ssl=endpoint.startswith("https"), verify=verify)
    with CRTTransferManager(client, serializer) as manager:
        files = sorted(file for file in Path(directory).iterdir() if file.is_file())
        futures = [manager.upload(str(file), bucket, f"{prefix}/{file.name}") for file in files]
        for future in futures:
            future.result()


main(*sys.argv[1:])
