"""What the help shows beside options: groups of commands, and lines to copy."""

from __future__ import annotations

from typing import Final

import typer

START, GALLERIES = "Start here", "Galleries: people that are found again"
CLIENT, SERVER = "Client: holds the secret key", "Server: cannot decrypt"
MODELS, INSIDE = "Models: weights and polynomials", "Inside: sizes, security, times"

#: Of each command its group, and its examples.
COMMANDS: Final = {
    "demo": (START, ("fhe-face demo", "fhe-face demo a.jpg b.jpg --weights weights.safetensors")),
    "verify": (
        START,
        (
            "fhe-face verify a.jpg b.jpg --weights official",
            "fhe-face verify a.jpg --gallery friends --subject Ann",
        ),
    ),
    "studio": (
        START,
        (
            "fhe-face studio",
            "fhe-face studio --weights official --gallery family",
            "fhe-face studio --server default --keys keys",
        ),
    ),
    "enroll": (
        GALLERIES,
        (
            "fhe-face enroll people/ --gallery friends",
            "fhe-face enroll people/ --gallery friends --embed local",
        ),
    ),
    "identify": (
        GALLERIES,
        (
            "fhe-face identify group.jpg --gallery friends",
            "fhe-face identify group.jpg --gallery friends -o answers.png",
            "fhe-face identify group.jpg --gallery one --gallery two --fuse 0.6,0.4",
        ),
    ),
    "gallery": (
        GALLERIES,
        (
            "fhe-face gallery create friends --names --weights official",
            "fhe-face gallery show friends",
        ),
    ),
    "remote": (
        CLIENT,
        (
            "fhe-face remote login https://faces.example:8443",
            "fhe-face remote gallery create friends --names",
            "fhe-face remote enroll people/ --gallery friends",
            "fhe-face remote identify group.jpg --gallery friends",
        ),
    ),
    "keygen": (CLIENT, ("fhe-face keygen --out keys", "fhe-face keygen --out keys --passphrase")),
    "encrypt": (
        CLIENT,
        (
            "fhe-face encrypt --key keys/client.key photo.jpg -o face.ct",
            "fhe-face encrypt --key door.key photo.jpg -o face.ct --receipt face.receipt",
        ),
    ),
    "device": (
        CLIENT,
        (
            "fhe-face device create --key keys/client.key --label door -o door.key",
            "fhe-face device revoke door --key keys/client.key",
        ),
    ),
    "align": (CLIENT, ("fhe-face align photo.jpg group.jpg -o crops --all-faces",)),
    "decrypt": (
        CLIENT,
        (
            "fhe-face decrypt --key keys/client.key score.ct",
            "fhe-face decrypt --key keys/client.key score.ct --decision-only --weights official",
        ),
    ),
    "info": (CLIENT, ("fhe-face info keys/evaluation.key", "fhe-face info face.ct --json")),
    "embed": (
        SERVER,
        (
            "fhe-face embed --keys keys/evaluation.key --weights weights.safetensors face.ct "
            "-o face.emb.ct",
        ),
    ),
    "match": (
        SERVER,
        ("fhe-face match --keys keys/evaluation.key a.emb.ct b.emb.ct -o score.ct",),
    ),
    "serve": (
        SERVER,
        (
            "fhe-face serve --folder data",
            "fhe-face serve --folder data --host 0.0.0.0 --tls-certificate cert.pem "
            "--tls-key key.pem",
            "fhe-face serve --folder /var/lib/faces --behind-proxy --print-unit",
        ),
    ),
    "worker": (
        SERVER,
        (
            "fhe-face worker --folder data --memory 10",
            "fhe-face worker --folder /shared/data --ray 10.0.0.1:6379",
        ),
    ),
    "authority": (
        CLIENT,
        (
            "fhe-face authority create deciding --weights official --key keys/client.key",
            "fhe-face authority serve deciding --key keys/client.key",
        ),
    ),
    "weights": (MODELS, ("fhe-face weights list", "fhe-face weights download")),
    "evaluate": (
        MODELS,
        (
            "fhe-face evaluate people/ --weights weights.safetensors",
            "fhe-face evaluate people/ --templates half --probe-size 32,24,16 --plot quality.png",
        ),
    ),
    "represent": (MODELS, ("fhe-face represent people/ -o embeddings --weights official",)),
    "train": (MODELS, ("fhe-face train people/ --out run --epochs 30",)),
    "finetune": (
        MODELS,
        ("fhe-face finetune people/ --weights weights.safetensors --out run",),
    ),
    "coeffs": (MODELS, ("fhe-face coeffs fit --interval 100 3000 --degree 4 -o fit.json",)),
    "plan": (INSIDE, ("fhe-face plan", "fhe-face plan --steps")),
    "precision": (INSIDE, ("fhe-face precision --simulate",)),
    "security": (INSIDE, ("fhe-face security",)),
    "bench": (INSIDE, ("fhe-face bench kernels",)),
    "serve backup": ("", ("fhe-face serve backup --folder data backups/monday",)),
    "serve restore": ("", ("fhe-face serve restore backups/monday --folder data2",)),
    "serve audit": ("", ("fhe-face serve audit --folder data --tenant office --last 20",)),
    "serve token": ("", ("fhe-face serve token create --folder data --tenant office",)),
    "serve token create": (
        "",
        (
            "fhe-face serve token create --folder data --tenant office > office.token",
            "fhe-face serve token create --folder data --tenant office --scopes read,search "
            "--days 30 --label door",
        ),
    ),
    "serve token list": ("", ("fhe-face serve token list --folder data",)),
    "serve token revoke": ("", ("fhe-face serve token revoke 447c3483bbf8 --folder data",)),
    "serve tenant": ("", ("fhe-face serve tenant list --folder data",)),
    "serve tenant list": ("", ("fhe-face serve tenant list --folder data --json",)),
    "serve tenant set": (
        "",
        ("fhe-face serve tenant set --folder data --tenant office --bytes 20000000000",),
    ),
    "serve tenant remove": ("", ("fhe-face serve tenant remove --folder data --tenant office",)),
    "gallery server-only": (
        "",
        ("fhe-face gallery server-only key friends --key keys/client.key --weights official",),
    ),
    "gallery server-only key": (
        "",
        ("fhe-face gallery server-only key friends --key keys/client.key --weights official",),
    ),
    "gallery server-only enroll": (
        "",
        ("fhe-face gallery server-only enroll friends/server face.emb.ct --subject-id badge-7",),
    ),
    "gallery server-only search": (
        "",
        ("fhe-face gallery server-only search friends/server face.emb.ct -o found.ct",),
    ),
    "gallery server-only answer": (
        "",
        ("fhe-face gallery server-only answer friends found.ct --sent face.ct",),
    ),
    "gallery server-only waiting": ("", ("fhe-face gallery server-only waiting friends",)),
    "gallery server-only confirm": (
        "",
        ("fhe-face gallery server-only confirm friends 5a0c61d2 --subject Ann",),
    ),
    "gallery server-only drop": ("", ("fhe-face gallery server-only drop friends 5a0c61d2",)),
    "authority create": (
        "",
        (
            "fhe-face authority create deciding --weights official --key keys/client.key",
            "fhe-face authority create deciding --thresholds 0.45,0.3",
        ),
    ),
    "authority thresholds": ("", ("fhe-face authority thresholds deciding --weights official",)),
    "authority gallery": ("", ("fhe-face authority gallery deciding friends",)),
    "authority serve": (
        "",
        (
            "fhe-face authority serve deciding --key keys/client.key",
            "fhe-face authority serve deciding --key friends/client/gallery.key --host 10.0.0.5 "
            "--tls-certificate cert.pem --tls-key key.pem",
            "fhe-face authority serve /var/lib/deciding --key /var/lib/deciding/client.key "
            "--print-unit",
        ),
    ),
    "authority status": ("", ("fhe-face authority status deciding",)),
    "authority check": ("", ("fhe-face authority check deciding --close 3",)),
    "authority log": ("", ("fhe-face authority log deciding --verify",)),
    "authority token": ("", ("fhe-face authority token create deciding --device door",)),
    "authority token create": (
        "",
        (
            "fhe-face authority token create deciding --device door > door.token",
            "fhe-face authority token create deciding --device server --scopes deliver --days 90",
        ),
    ),
    "authority token list": ("", ("fhe-face authority token list deciding",)),
    "authority token revoke": ("", ("fhe-face authority token revoke deciding 447c3483bbf8",)),
    "authority announce": (
        "",
        (
            "fhe-face authority announce http://127.0.0.1:8444 --face face.ct --subject ann "
            "--token-file door.token",
        ),
    ),
    "authority ask": (
        "",
        (
            "fhe-face authority ask http://127.0.0.1:8444 score.ct --face face.ct --subject ann "
            "--token-file door.token",
        ),
    ),
    "authority answer": (
        "",
        (
            "fhe-face authority answer http://127.0.0.1:8444 5f0c1b6f9b3e8a115f0c1b6f9b3e8a11 "
            "--token-file door.token",
        ),
    ),
    "bench kernels": ("", ("fhe-face bench kernels --rounds 15",)),
    "bench operations": ("", ("fhe-face bench operations --openfhe-python ofhe/bin/python",)),
    "bench profile": ("", ("fhe-face bench profile --weights FILE --plot steps.png",)),
    "bench modes": ("", ("fhe-face bench modes --weights FILE",)),
    "bench targets": ("", ("fhe-face bench targets --weights FILE --batch 64",)),
    "bench batch": ("", ("fhe-face bench batch --weights FILE --sizes 8,32,64 --plot curve.png",)),
    "bench cluster": (
        "",
        (
            "fhe-face bench cluster",
            "fhe-face bench cluster --nodes 10,100,1000 --apis 10 --plot cluster.png",
        ),
    ),
    "bench gallery": (
        "",
        ("fhe-face bench gallery", "fhe-face bench gallery --templates 100000 --json"),
    ),
    "coeffs fit": (
        "",
        (
            "fhe-face coeffs fit --interval 100 3000 --degree 4 -o fit.json",
            "fhe-face coeffs fit --sample squared-norms.npy --method minimax --plot fit.png",
        ),
    ),
    "remote login": (
        "",
        (
            "fhe-face remote login https://faces.example:8443",
            "fhe-face remote login https://10.0.0.2:8443 --ca ca.pem --token-file token",
        ),
    ),
    "remote logout": ("", ("fhe-face remote logout",)),
    "remote status": ("", ("fhe-face remote status",)),
    "remote push-keys": ("", ("fhe-face remote push-keys keys",)),
    "remote embed": ("", ("fhe-face remote embed face.ct --key keys/client.key -o face.emb.ct",)),
    "remote submit": ("", ("fhe-face remote submit face.ct",)),
    "remote device": ("", ("fhe-face remote device push keys/devices/ID.key",)),
    "remote device push": ("", ("fhe-face remote device push keys/devices/ID.key",)),
    "remote device list": ("", ("fhe-face remote device list --key keys/client.key",)),
    "remote device revoke": (
        "",
        ("fhe-face remote device revoke door --key keys/client.key",),
    ),
    "remote enroll": (
        "",
        (
            "fhe-face remote enroll people/ --gallery friends",
            "fhe-face remote enroll people/ --gallery friends --keys keys",
        ),
    ),
    "remote identify": ("", ("fhe-face remote identify group.jpg --gallery friends",)),
    "remote verify": (
        "",
        (
            "fhe-face remote verify a.jpg b.jpg --keys keys",
            "fhe-face remote verify a.jpg --gallery friends --subject Ann",
        ),
    ),
    "remote jobs": (
        "",
        (
            "fhe-face remote jobs",
            "fhe-face remote jobs ID --sent face.ct --key keys/client.key -o face.emb.ct",
        ),
    ),
    "remote gallery": ("", ("fhe-face remote gallery create friends --names",)),
    "remote gallery create": ("", ("fhe-face remote gallery create friends --names",)),
    "remote gallery list": ("", ("fhe-face remote gallery list",)),
    "remote gallery show": ("", ("fhe-face remote gallery show friends",)),
    "remote gallery check": ("", ("fhe-face remote gallery check friends",)),
    "remote gallery accept": ("", ("fhe-face remote gallery accept friends",)),
    "remote gallery remove": ("", ("fhe-face remote gallery remove friends",)),
    "remote gallery backup": ("", ("fhe-face remote gallery backup friends friends.backup",)),
    "remote gallery restore": (
        "",
        ("fhe-face remote gallery restore friends.backup again --name friends2",),
    ),
    "remote gallery rekey": ("", ("fhe-face remote gallery rekey friends --passphrase",)),
    "remote gallery rebuild": (
        "",
        ("fhe-face remote gallery rebuild friends people/ --weights official",),
    ),
    "device create": (
        "",
        ("fhe-face device create --key keys/client.key --label door -o door.key",),
    ),
    "device list": ("", ("fhe-face device list --key keys/client.key",)),
    "device show": ("", ("fhe-face device show door --key keys/client.key",)),
    "device revoke": ("", ("fhe-face device revoke door --key keys/client.key",)),
    "gallery create": ("", ("fhe-face gallery create friends --names --weights official",)),
    "gallery list": ("", ("fhe-face gallery list",)),
    "gallery show": ("", ("fhe-face gallery show friends", "fhe-face gallery show friends Ann")),
    "gallery add": ("", ("fhe-face gallery add friends Ann ann1.jpg ann2.jpg",)),
    "gallery move": ("", ("fhe-face gallery move friends bob7.jpg --to Bob",)),
    "gallery rename": ("", ("fhe-face gallery rename friends Ann Anna",)),
    "gallery merge": ("", ("fhe-face gallery merge friends Bobby --into Bob",)),
    "gallery delete": (
        "",
        (
            "fhe-face gallery delete friends Bob",
            "fhe-face gallery delete friends --template bob7.jpg",
        ),
    ),
    "gallery undelete": ("", ("fhe-face gallery undelete friends Bob",)),
    "gallery calibrate": ("", ("fhe-face gallery calibrate friends",)),
    "gallery check": ("", ("fhe-face gallery check friends --repair",)),
    "gallery compact": ("", ("fhe-face gallery compact friends",)),
    "gallery export": ("", ("fhe-face gallery export friends -o matrix",)),
    "gallery backup": ("", ("fhe-face gallery backup friends friends.backup",)),
    "gallery restore": ("", ("fhe-face gallery restore friends.backup again",)),
    "gallery rekey": ("", ("fhe-face gallery rekey friends --passphrase",)),
    "gallery rebuild": ("", ("fhe-face gallery rebuild friends people/ --weights official",)),
    "weights list": ("", ("fhe-face weights list",)),
    "weights bound": (
        "",
        ("fhe-face weights bound official -o mine.safetensors --photos people/ --plot curves.png",),
    ),
    "weights card": ("", ("fhe-face weights card official people/ -o card.md --plot card.png",)),
    "weights verify": ("", ("fhe-face weights verify weights.safetensors",)),
    "weights convert": ("", ("fhe-face weights convert backbone-64x64.ckpt weights.safetensors",)),
    "weights download": ("", ("fhe-face weights download --size 64",)),
}
#: The order of the groups in the help, and of the commands within each.
_ORDER: Final = tuple(COMMANDS)


def arrange(app: typer.Typer, path: str = "") -> None:
    """Give all commands below `app` their group and examples, in the order of this file."""
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        panel, examples = COMMANDS.get(f"{path}{name}", ("", ()))
        command.rich_help_panel = panel or None
        command.epilog = _epilog(examples)
    for group in app.registered_groups:
        panel, examples = COMMANDS.get(f"{path}{group.name}", ("", ()))
        group.rich_help_panel = panel or None
        group.epilog = _epilog(examples)
        if group.typer_instance is not None:
            arrange(group.typer_instance, f"{path}{group.name} ")
    app.registered_commands.sort(key=lambda command: _place(path, command))


def _place(path: str, command: typer.models.CommandInfo) -> int:
    name = command.name or (command.callback.__name__ if command.callback else "")
    return _ORDER.index(path + name) if path + name in _ORDER else len(_ORDER)


def _epilog(examples: tuple[str, ...]) -> str:
    heading = "Example:" if len(examples) == 1 else "Examples:"
    return "\n\n".join((heading, *examples)) if examples else ""
