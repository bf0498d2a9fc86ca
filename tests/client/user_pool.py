"""Creates a user pool with one app client at the endpoint given, and prints both ids as JSON."""

import json
import sys

import boto3

cognito = boto3.client(
    "cognito-idp",
    endpoint_url=sys.argv[1],
    region_name="us-east-1",
    # The only pair that MiniStack takes.
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
pool = cognito.create_user_pool(PoolName="client-test", AutoVerifiedAttributes=["email"])["UserPool"]
client = cognito.create_user_pool_client(
    UserPoolId=pool["Id"],
    ClientName="client-test",
    GenerateSecret=False,
    # No password flow: a sign-in that works went through SRP.
    ExplicitAuthFlows=["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    AccessTokenValidity=5,
    IdTokenValidity=5,
    TokenValidityUnits={"AccessToken": "minutes", "IdToken": "minutes"},
)["UserPoolClient"]
print(json.dumps({"id": pool["Id"], "clientId": client["ClientId"]}))
