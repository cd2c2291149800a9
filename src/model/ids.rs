//! Names and identities: who there is in a town and what each is called.

use serde::Deserialize;
use serde::Serialize;

use super::value::key_type;
use super::value::text_enum;

key_type! {
    /// The public id of any bead: `<prefix>-<hash>`, a child `<parent>.<n>`, or a reserved agent id.
    BeadId
}
key_type! {
    /// A rig's name; also the name of its database.
    RigName
}
key_type! {
    /// A database: `hq`, or a rig's name.
    Db
}
key_type! {
    /// One session start: `<actor with slashes as dashes>-<incarnation>`.
    SessionId
}
key_type! {
    /// A full git object id in hexadecimal.
    Sha
}
key_type! {
    /// One run of a rig's gates.
    RunId
}

impl Db {
    /// The town's own database.
    #[must_use]
    pub fn hq() -> Self {
        Self::from("hq")
    }

    /// Whether this is the town's own database.
    #[must_use]
    pub fn is_hq(&self) -> bool {
        self.0 == "hq"
    }

    /// The rig whose database this is; `None` for hq.
    #[must_use]
    pub fn rig(&self) -> Option<RigName> {
        (!self.is_hq()).then(|| RigName(self.0.clone()))
    }
}

impl From<&RigName> for Db {
    fn from(rig: &RigName) -> Self {
        Self(rig.0.clone())
    }
}

impl BeadId {
    /// The text before the last dash, without it: `gt-abc.1` gives `gt`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(prefix, _)| prefix)
    }

    /// The parent of a child id: `gt-abc.1` gives `gt-abc`.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('.').map(|(parent, _)| Self(parent.to_owned()))
    }
}

text_enum! {
    /// The eight roles of the seed's taxonomy.
    Role {
        /// Global coordinator.
        Mayor = "mayor",
        /// Daemon beacon.
        Deacon = "deacon",
        /// The Deacon's watchdog.
        Boot = "boot",
        /// Per-rig health monitor.
        Witness = "witness",
        /// Per-rig merge queue.
        Refinery = "refinery",
        /// Worker.
        Polecat = "polecat",
        /// A person's own clone.
        Crew = "crew",
        /// Infrastructure worker.
        Dog = "dog",
    }
}

text_enum! {
    /// The seed's persistence classes.
    Persistence {
        /// Kept running.
        Persistent = "persistent",
        /// Started for one decision.
        Ephemeral = "ephemeral",
        /// As the work needs.
        Variable = "variable",
        /// The name stays, each session ends.
        PersistentIdentity = "persistent-identity",
    }
}

impl Role {
    /// The id of the role's definition bead in hq.
    #[must_use]
    pub fn role_bead(self) -> BeadId {
        BeadId(format!("hq-{}-role", self.as_str()))
    }

    /// The persistence class of the seed's agent taxonomy.
    #[must_use]
    pub fn persistence(self) -> Persistence {
        match self {
            Self::Boot => Persistence::Ephemeral,
            Self::Dog => Persistence::Variable,
            Self::Polecat => Persistence::PersistentIdentity,
            Self::Mayor | Self::Deacon | Self::Witness | Self::Refinery | Self::Crew => {
                Persistence::Persistent
            }
        }
    }
}

/// Somebody who may act in a town.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Identity {
    /// The person.
    Overseer,
    /// Global coordinator.
    Mayor,
    /// Daemon beacon.
    Deacon,
    /// The Deacon's watchdog.
    Boot,
    /// A dog by name.
    Dog(String),
    /// A rig's witness.
    Witness(RigName),
    /// A rig's refinery.
    Refinery(RigName),
    /// A worker.
    Polecat(RigName, String),
    /// A person's clone.
    Crew(RigName, String),
}

impl Identity {
    /// The address used in `BD_ACTOR`, mail and git authorship: `rig/polecats/name`.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Overseer => "overseer".to_owned(),
            Self::Mayor => "mayor".to_owned(),
            Self::Deacon => "deacon".to_owned(),
            Self::Boot => "deacon-boot".to_owned(),
            Self::Dog(name) => format!("deacon/dogs/{name}"),
            Self::Witness(rig) => format!("{rig}/witness"),
            Self::Refinery(rig) => format!("{rig}/refinery"),
            Self::Polecat(rig, name) => format!("{rig}/polecats/{name}"),
            Self::Crew(rig, name) => format!("{rig}/crew/{name}"),
        }
    }

    /// The identity behind an address; a trailing slash is allowed, `rig/name` means a polecat.
    #[must_use]
    pub fn parse(actor: &str) -> Option<Self> {
        let parts: Vec<&str> = actor.trim_end_matches('/').split('/').collect();
        match parts.as_slice() {
            ["overseer" | "human"] => Some(Self::Overseer),
            ["mayor"] => Some(Self::Mayor),
            ["deacon"] => Some(Self::Deacon),
            ["deacon-boot" | "boot"] | ["deacon", "boot"] => Some(Self::Boot),
            ["deacon", "dogs", name] => Some(Self::Dog((*name).to_owned())),
            [rig, "witness"] => Some(Self::Witness(RigName::from(*rig))),
            [rig, "refinery"] => Some(Self::Refinery(RigName::from(*rig))),
            [rig, "crew", name] => Some(Self::Crew(RigName::from(*rig), (*name).to_owned())),
            [rig, "polecats", name] | [rig, name] if !rig.is_empty() && !name.is_empty() => {
                Some(Self::Polecat(RigName::from(*rig), (*name).to_owned()))
            }
            _ => None,
        }
    }

    /// The role; the person has none.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Overseer => None,
            Self::Mayor => Some(Role::Mayor),
            Self::Deacon => Some(Role::Deacon),
            Self::Boot => Some(Role::Boot),
            Self::Dog(_) => Some(Role::Dog),
            Self::Witness(_) => Some(Role::Witness),
            Self::Refinery(_) => Some(Role::Refinery),
            Self::Polecat(..) => Some(Role::Polecat),
            Self::Crew(..) => Some(Role::Crew),
        }
    }

    /// The rig of a rig-level identity.
    #[must_use]
    pub fn rig(&self) -> Option<&RigName> {
        match self {
            Self::Witness(rig)
            | Self::Refinery(rig)
            | Self::Polecat(rig, _)
            | Self::Crew(rig, _) => Some(rig),
            Self::Overseer | Self::Mayor | Self::Deacon | Self::Boot | Self::Dog(_) => None,
        }
    }

    /// The id of the agent bead (the seed's table); `prefix` is the rig's, without its dash.
    #[must_use]
    pub fn bead_id(&self, prefix: &str) -> Option<BeadId> {
        let id = match self {
            Self::Overseer => return None,
            Self::Mayor => "hq-mayor".to_owned(),
            Self::Deacon => "hq-deacon".to_owned(),
            Self::Boot => "hq-boot".to_owned(),
            Self::Dog(name) => format!("hq-dog-{name}"),
            Self::Witness(rig) => format!("{prefix}-{rig}-witness"),
            Self::Refinery(rig) => format!("{prefix}-{rig}-refinery"),
            Self::Polecat(rig, name) => format!("{prefix}-{rig}-polecat-{name}"),
            Self::Crew(rig, name) => format!("{prefix}-{rig}-crew-{name}"),
        };
        Some(BeadId(id))
    }
}
