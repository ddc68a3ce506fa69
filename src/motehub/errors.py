"""Every error that motehub raises on purpose, grouped by who must act.

::

    MotehubError
    ├── OwnerError              the owner mends it: a wrong setting, name or command
    │   ├── ConfigurationError  the configuration file or an environment variable
    │   ├── UnknownDevice       no device has that name
    │   ├── InvalidName         a device or token name that the rules forbid, or that is taken
    │   ├── InvalidProfile      labels, an interval or a unit that a device can't have
    │   ├── UnknownToken        no token has that name
    │   ├── UnknownWebhook      no webhook has that name, or no message of it that id
    │   ├── InvalidToken        a token that can't be made: its key, its scopes, its end
    │   ├── UnknownUser         no person has that name
    │   ├── InvalidUser         a person that can't be added, changed or removed so
    │   ├── InvalidPassword     a password that is too easily guessed
    │   ├── WrongPassword       who logs in, or accepts an invitation, is not who they should be
    │   ├── InvalidCommand      a command that says nothing, or what can't be sent
    │   ├── UnknownCommand      no command has that id, or it is long over
    │   ├── DeviceUnready       a device takes no commands: not accepted, or too many wait
    │   ├── UnknownUnit         no unit has that name or address
    │   ├── InvalidUnit         a unit that can't be, or can't be dealt with so
    │   ├── UnitExists          a unit has that address, or another device that name
    │   ├── UnknownRule         no rule has that name
    │   ├── InvalidRule         a rule that can't be, or can't be dealt with so
    │   ├── UnknownAlert        no alert has that number, or it is over
    │   ├── UnknownReport       no report has that name, or it has no such recipient
    │   ├── InvalidReport       a report that can't be, or can't be dealt with so
    │   ├── BackupError         nothing to back up, a back-up that is none, or nowhere to put it
    │   ├── HubRunning          the data folder belongs to a hub that is running
    │   └── CertificateError    a certificate or key that is missing or unusable
    ├── StorageError            the machine: disk full, read-only, database locked or damaged
    │   ├── DamagedDatabase     the file is not a database, or its content is broken
    │   ├── NewerSchema         the file was written by a later motehub
    │   └── StaleJournal        the history is ahead of the journal: not of the same back-up
    └── ControlError            the running hub did not answer, or refused
        └── NoHub               no hub runs on the data folder

What a *device* does wrong is never an exception: decoders return it as a
:class:`motehub.model.Malformed` record, which ends in the list of rejected payloads.
"""


class MotehubError(Exception):
    """Base of all of them; ``str()`` is one sentence for people, without a stack trace."""


class OwnerError(MotehubError):
    """Something that the owner can mend."""


class ConfigurationError(OwnerError):
    """A setting is unknown, of the wrong type or out of range; names the key and the mend."""


class UnknownDevice(OwnerError):
    """No device has the name that was given."""


class InvalidName(OwnerError):
    """A device or token name is empty, too long, holds a forbidden character or is taken."""


class InvalidProfile(OwnerError):
    """A label, an expected interval or a unit that can't be given to a device."""


class UnknownToken(OwnerError):
    """No token has the name that was given."""


class UnknownWebhook(OwnerError):
    """No webhook has the name that was given, or it has no such message any more."""


class InvalidToken(OwnerError):
    """A token can't be made so: its key is short or known, its scopes don't fit, there are many."""


class UnknownUser(OwnerError):
    """No person has the name that was given."""


class InvalidUser(OwnerError):
    """A person can't be added, changed or removed so: too many, or nobody left who decides."""


class InvalidPassword(OwnerError):
    """A password is too short, too long or too easily guessed."""


class WrongPassword(OwnerError):
    """Name and password don't belong together, or an invitation is not open."""


class InvalidCommand(OwnerError):
    """A command says nothing or too much, or something that can't be sent."""


class UnknownCommand(OwnerError):
    """No command has the id that was given, or it has been forgotten."""


class DeviceUnready(OwnerError):
    """A device can't be given a command: it is not accepted, or too many wait already."""


class UnknownUnit(OwnerError):
    """No unit has the name or address that was given."""


class InvalidUnit(OwnerError):
    """A unit can't be as it is described, or can't be dealt with so."""


class UnitExists(OwnerError):
    """There is a unit at that address already, or another device has the name."""


class UnknownRule(OwnerError):
    """No rule has the name that was given."""


class InvalidRule(OwnerError):
    """A rule can't be as it is described, or can't be dealt with so."""


class UnknownAlert(OwnerError):
    """No alert has the number that was given, or it is over."""


class UnknownReport(OwnerError):
    """No report has the name that was given, or it has no such recipient."""


class InvalidReport(OwnerError):
    """A report can't be as it is described, or can't be dealt with so."""


class BackupError(OwnerError):
    """There is nothing to back up, a back-up is none or damaged, or a folder is not empty."""


class HubRunning(OwnerError):
    """The data folder is locked by a hub that is running."""


class CertificateError(OwnerError):
    """A certificate or key is missing, unreadable or does not belong together."""


class StorageError(MotehubError):
    """A database could not be read or written; whoever writes keeps its data and tries again."""


class DamagedDatabase(StorageError):
    """The file is not a motehub database, or SQLite finds its content broken."""


class NewerSchema(StorageError):
    """The database has a schema version that this motehub does not know yet."""


class StaleJournal(StorageError):
    """A consumer has frames that the journal does not have: they don't belong together."""


class ControlError(MotehubError):
    """The running hub did not answer on its control socket, or refused the request."""


class NoHub(ControlError):
    """No hub listens on the control socket of the data folder."""
