"""What the registry, the databases and the secrets promise."""

from __future__ import annotations

from aws_claim import claim
from aws_claims_network import sources
from aws_policy import listed


@claim
def tags_of_images_never_move(assembly):
    wanted = [("WILDCARD", "keep-*"), ("WILDCARD", "sha256-*")]
    for repository in assembly.all("AWS::ECR::Repository"):
        filters = [
            (f["ImageTagMutabilityExclusionFilterType"], f["ImageTagMutabilityExclusionFilterValue"])
            for f in repository.get("ImageTagMutabilityExclusionFilters", [])
        ]
        if repository.get("ImageTagMutability") != "IMMUTABLE_WITH_EXCLUSION" or filters != wanted:
            yield repository


@claim
def images_are_scanned_when_they_are_pushed(assembly):
    for repository in assembly.all("AWS::ECR::Repository"):
        if repository.get("ImageScanningConfiguration") != {"ScanOnPush": True}:
            yield repository


@claim
def images_are_encrypted(assembly):
    for repository in assembly.all("AWS::ECR::Repository"):
        if repository.get("EncryptionConfiguration", {}).get("EncryptionType") not in ("AES256", "KMS"):
            yield repository


@claim
def other_accounts_only_read_images(assembly):
    for repository in assembly.all("AWS::ECR::Repository"):
        for statement in repository.get("RepositoryPolicyText", {}).get("Statement", []):
            verbs = {action.partition(":")[2] for action in listed(statement["Action"])}
            roles = statement.get("Condition", {}).get("ArnLike", {}).get("aws:PrincipalArn", [])
            if (
                not all(verb.startswith(("BatchGet", "Get", "Describe", "List")) for verb in verbs)
                or statement["Principal"] != {"AWS": ["arn:aws:iam::444455556666:root"]}
                or roles != ["arn:aws:iam::444455556666:role/slipway-*"]
            ):
                yield repository


def _databases(assembly):
    return assembly.all("AWS::RDS::DBInstance")


@claim
def databases_are_encrypted_with_their_environments_key(assembly):
    for database in _databases(assembly):
        used = assembly.names(database, database.get("KmsKeyId", ""))
        own = [f"{key}.Arn" for key in assembly.all("AWS::KMS::Key") if key.stack == database.stack]
        if not database.get("StorageEncrypted") or used != own:
            yield database


@claim
def databases_are_not_public(assembly):
    return (d for d in _databases(assembly) if d.get("PubliclyAccessible") is not False)


@claim
def the_database_of_prod_outlives_a_zone(assembly):
    return (d for d in _databases(assembly) if d.stack == "slipway-prod-data" and not d.get("MultiAZ"))


@claim
def databases_cannot_be_deleted_by_mistake(assembly):
    for database in _databases(assembly):
        policies = {database.body.get(name) for name in ("DeletionPolicy", "UpdateReplacePolicy")}
        if not database.get("DeletionProtection") or policies != {"Snapshot"}:
            yield database


@claim
def databases_are_backed_up(assembly):
    for database in _databases(assembly):
        least = 35 if database.stack == "slipway-prod-data" else 7
        if database.get("BackupRetentionPeriod", 0) < least or database.get("DeleteAutomatedBackups", True):
            yield database


@claim
def connections_to_databases_are_encrypted(assembly):
    forced = {
        str(group)
        for group in assembly.all("AWS::RDS::DBParameterGroup")
        if group.get("Parameters", {}).get("rds.force_ssl") == "1"
    }
    for database in _databases(assembly):
        if not forced.issuperset(assembly.names(database, database.get("DBParameterGroupName", ""))):
            yield database


@claim
def people_log_in_to_databases_by_iam(assembly):
    return (d for d in _databases(assembly) if not d.get("EnableIAMDatabaseAuthentication"))


@claim
def nobody_writes_the_password_of_a_database(assembly):
    for database in _databases(assembly):
        if not database.get("ManageMasterUserPassword") or database.get("MasterUserPassword"):
            yield database


@claim
def databases_lie_in_database_subnets(assembly):
    for group in assembly.all("AWS::RDS::DBSubnetGroup"):
        names = [name.rpartition("/")[2] for name in assembly.names(group, group["SubnetIds"])]
        if sorted(names) != ["DatabaseA", "DatabaseB", "DatabaseC"]:
            yield group


@claim
def databases_admit_backend_pods_and_the_rotation_alone(assembly):
    for database in _databases(assembly):
        (group,) = assembly.names(database, database["VPCSecurityGroups"])
        server = assembly.one(database.stack, group.rpartition("/")[2].removesuffix(".GroupId"))
        extra = [r for r in assembly.all("AWS::EC2::SecurityGroupIngress") if group in _of(assembly, r)]
        admitted = {
            (rule["FromPort"], *assembly.names(server, rule.get("SourceSecurityGroupId", sources(rule))))
            for rule in server["SecurityGroupIngress"]
        }
        wanted = {(5432, f"{database.stack}/{name}.GroupId") for name in ("BackendGroup", "RotationGroup")}
        if admitted != wanted or extra:
            yield server


def _of(assembly, rule):
    return assembly.names(rule, rule["GroupId"])


@claim
def secrets_are_made_by_aws_under_their_environments_path(assembly):
    for secret in assembly.all("AWS::SecretsManager::Secret"):
        environment = secret.stack.split("-")[1]
        made = secret.get("GenerateSecretString", {})
        if (
            not secret.get("Name", "").startswith(f"slipway/{environment}/")
            or secret.get("SecretString")
            or made.get("PasswordLength", 0) < 32
            or f'"{made.get("GenerateStringKey")}"' in assembly.text(secret, made["SecretStringTemplate"])
        ):
            yield secret


@claim
def secrets_are_encrypted_with_their_environments_key(assembly):
    for secret in assembly.all("AWS::SecretsManager::Secret"):
        own = [f"{key}.Arn" for key in assembly.all("AWS::KMS::Key") if key.stack == secret.stack]
        if assembly.names(secret, secret.get("KmsKeyId", "")) != own:
            yield secret


@claim
def the_password_of_the_application_rotates_between_two_users(assembly):
    for database in _databases(assembly):
        schedules = [
            s
            for s in assembly.all("AWS::SecretsManager::RotationSchedule")
            if assembly.names(s, s["SecretId"]) == [f"{database.stack}/DatabaseSecret"]
            and s["HostedRotationLambda"]["RotationType"] == "PostgreSQLMultiUser"
            and s["RotationRules"]["ScheduleExpression"] == "rate(30 days)"
        ]
        if len(schedules) != 1:
            yield database


@claim
def what_holds_data_outlives_its_stack(assembly):
    kept = ("AWS::KMS::Key", "AWS::ECR::Repository", "AWS::SecretsManager::Secret")
    for kind in kept:
        for resource in assembly.all(kind):
            if {resource.body.get("DeletionPolicy"), resource.body.get("UpdateReplacePolicy")} != {"Retain"}:
                yield resource
