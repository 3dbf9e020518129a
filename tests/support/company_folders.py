"""Ten folders of exports as small companies of several countries would have them: made up and seeded.

Each says what is right, written down before it was tried.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support.spreadsheets import write_xlsx

Rows = list[list[str]]
START = dt.datetime(2024, 1, 3, 8, 5)
NARROW = "\u202f"


@dataclass(frozen=True)
class Right:
    """What a folder's mapping has to say, or the reason in one line for which it has to be refused."""

    leads: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    order: str = "dates"
    kinds: dict[str, str] = field(default_factory=dict)
    late: Sequence[str] = ()
    yes: str = ""
    reason: str = ""


class Draw:
    """Leads over a year; a given share wins after some weeks."""

    def __init__(self, seed: int, leads: int, rate: float) -> None:
        self.random = np.random.default_rng(seed)
        self.created = [
            START + dt.timedelta(minutes=int(at)) for at in np.sort(self.random.integers(0, 360 * 1440, leads))
        ]
        self.won = self.random.permutation(leads) < round(rate * leads)
        self.closed = [at + dt.timedelta(minutes=int(self.random.integers(2_000, 60_000))) for at in self.created]

    def one(self, *choices: str) -> str:
        return str(self.random.choice(choices))

    def number(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high))

    def each(self) -> Iterable[tuple[int, dt.datetime, bool, dt.datetime]]:
        return zip(range(len(self.won)), self.created, map(bool, self.won), self.closed, strict=True)


def save(
    path: Path, header: Sequence[str], rows: Rows, mark: str = ",", encoding: str = "utf-8", above: str = ""
) -> None:
    text = "\r\n".join(mark.join(f'"{cell}"' if mark in cell else cell for cell in row) for row in [header, *rows])
    path.write_bytes((above + text + "\r\n").encode(encoding))


def grouped(value: int, mark: str) -> str:
    return f"{value:,}".replace(",", mark)


def austrian_bakery_machines(folder: Path) -> Right:
    draw = Draw(1, 200, 0.03)
    rows = [
        [f"{4001 + row}", f"Bäckerei {row}", f"Name {row}", f"{draw.number(101, 125)}0",
         draw.one("Wien", "Graz", "Linz"), f"{at:%d.%m.%Y}", draw.one("Messe", "Empfehlung", "Internet"),
         draw.one("350 T€", "1,2 Mio. €", "900 T€", "2,5 Mio. €", ""), str(draw.number(2, 90)),
         f"{end:%d.%m.%Y}" if won else ""]
        for row, at, won, end in draw.each()
    ]  # fmt: skip
    header = ["Nr", "Firma", "Ansprechpartner", "PLZ", "Ort", "Erstkontakt", "Quelle", "Umsatz p.a.", "Mitarbeiter"]
    save(folder / "Interessenten.csv", [*header, "Auftrag erhalten am"], rows, ";", "cp1252")
    return Right(
        "Interessenten.csv",
        {"lead_id": "Nr", "created_at": "Erstkontakt"},
        {"converted_at": "Auftrag erhalten am"},
        kinds={"PLZ": "category", "Umsatz p.a.": "number", "Mitarbeiter": "number"},
    )


def french_advisers(folder: Path) -> Right:
    draw = Draw(2, 150, 0.4)
    prospects, meetings, sales = [], [], []
    for row, at, won, end in draw.each():
        money = f"{grouped(draw.number(20_000, 900_000), NARROW)},50{NARROW}€"
        prospects.append(
            [
                f"P-{row:04d}",
                f"Société {row}",
                f"{at:%d/%m/%Y %H:%M}",
                draw.one("Salon", "Site web", "Bouche à oreille"),
                str(draw.number(1, 250)),
                money,
            ]
        )
        for days in range(1, draw.number(1, 4)):
            when = at + dt.timedelta(days=days)
            meetings.append(
                [f"P-{row:04d}", f"{when:%d/%m/%Y %H:%M}", draw.one("Visio", "Téléphone"), str(draw.number(10, 90))]
            )
        sales += [[f"V{row}", f"P-{row:04d}", f"{end:%d/%m/%Y}", f"{draw.number(900, 9000)},00"]] if won else []
    save(
        folder / "prospects.csv",
        ["Référence", "Société", "Date de création", "Origine", "Effectif", "Chiffre d'affaires"],
        prospects,
        ";",
    )
    save(folder / "rendez-vous.csv", ["Réf. prospect", "Date du rendez-vous", "Type", "Durée (min)"], meetings, ";")
    save(folder / "ventes.csv", ["N° vente", "Réf. prospect", "Date de signature", "Montant"], sales, ";")
    return Right(
        "prospects.csv",
        {"lead_id": "Référence", "created_at": "Date de création"},
        {"converted_at": "Date de signature"},
        {"lead_id": "Réf. prospect", "event_at": "Date du rendez-vous", "event_type": "Type"},
        kinds={"Effectif": "number", "Chiffre d'affaires": "number", "Origine": "category"},
    )


def spanish_estate_agents(folder: Path) -> Right:
    draw = Draw(3, 200, 0.03)
    rows: list[list[str | float | dt.datetime | None]] = []
    for row, at, won, end in draw.each():
        lost = not won and row % 2 == 0
        rows.append([f"C{row:05d}", f"Nombre {row}", f"c{row}@correo.es", f"6{draw.number(10**7, 10**8 - 1)}", at,
                     f"{grouped(draw.number(80, 600) * 1000, '.')} €",
                     draw.one("Centro", "Playa", "Norte"), draw.one("Ana", "Luis"),
                     "Vendido" if won else "Perdido" if lost else draw.one("En curso", "Nuevo"),
                     end if won or lost else None])  # fmt: skip
    header = [
        "Código",
        "Nombre",
        "Correo",
        "Teléfono",
        "Fecha de alta",
        "Presupuesto",
        "Zona",
        "Comercial",
        "Estado",
        "Fecha de cierre",
    ]
    write_xlsx(folder / "contactos.xlsx", {"Hoja1": [header, *rows]})
    return Right(
        "contactos.xlsx",
        {"lead_id": "Código", "created_at": "Fecha de alta"},
        {"status": "Estado", "closed_at": "Fecha de cierre"},
        kinds={"Presupuesto": "number", "Zona": "category"},
        late=["Estado"],
    )


def american_trials(folder: Path) -> Right:
    draw = Draw(4, 500, 0.004)
    users, events, paid = [], [], []
    for row, at, won, end in draw.each():
        user = f"u_{draw.number(10**8, 10**9)}{row}"
        since = int(at.replace(tzinfo=dt.UTC).timestamp() * 1000)
        money, size = draw.one("USD 1,200", "EUR 900", "USD 15,000"), draw.one("1-10", "11-50", "51-200")
        users.append({"user_id": user, "signup_at": since, "country": draw.one("US", "CA", "GB"), "company_size": size})
        users[-1] |= {"budget": money, "utm_source": draw.one("google", "linkedin", "")}
        events += [
            [
                user,
                draw.one("login", "invite_sent", "report_made"),
                f"{at + dt.timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}",
            ]
            for hour in range(1, draw.number(2, 5))
        ]
        paid += [[f"sub_{row}", user, f"{end:%Y-%m-%dT%H:%M:%SZ}", f"{draw.number(19, 99)}.00"]] if won else []
    (folder / "users.jsonl").write_text("".join(json.dumps(user) + "\n" for user in users), encoding="utf-8")
    lines = ["user_id,event,timestamp", *map(",".join, events)]
    (folder / "product_events.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    save(folder / "subscriptions.csv", ["subscription_id", "user_id", "started_at", "mrr"], paid)
    return Right(
        "users.jsonl",
        {"lead_id": "user_id", "created_at": "signup_at"},
        {"converted_at": "started_at"},
        {"lead_id": "user_id", "event_at": "timestamp", "event_type": "event"},
        kinds={"budget": "not number", "country": "category", "company_size": "category"},
    )


def english_insurance_broker(folder: Path) -> Right:
    draw = Draw(5, 200, 0.4)
    rows = [
        [f"ENQ/{row:05d}", f"{at:%d/%m/%Y}", draw.one("SW1A 1AA", "M1 2AB", "LS1 3CD"),
         draw.one("Motor", "Home", "Van"),
         f"£{draw.number(200, 3000):,}.{draw.number(10, 99)}", "Y" if won else "N"]
        for row, at, won, _ in draw.each()
    ]  # fmt: skip
    save(
        folder / "enquiries.csv",
        ["Enquiry Ref", "Date Received", "Postcode", "Product", "Premium Quoted", "Policy Taken"],
        rows,
    )
    return Right(
        "enquiries.csv",
        {"lead_id": "Enquiry Ref", "created_at": "Date Received"},
        {"converted": "Policy Taken"},
        yes="Y",
        order="rows",
        kinds={"Postcode": "category", "Premium Quoted": "number"},
    )


def brazilian_school(folder: Path) -> Right:
    draw = Draw(6, 200, 0.03)
    leads, paid = [], []
    for row, at, won, end in draw.each():
        leads.append(
            [
                str(row + 1),
                f"Nome {row}",
                f"aluno{row}@exemplo.br",
                f"{at:%Y-%m-%d %H:%M:%S}",
                draw.one("Instagram", "Google", "Indicação"),
                draw.one("celular", "desktop"),
            ]
        )
        paid += [[f"Aluno{row}@exemplo.br", f"{end:%d/%m/%Y}", f"R$ 1.{draw.number(100, 999)},50"]] if won else []
    save(folder / "leads.csv", ["id", "nome", "e-mail", "criado_em", "origem", "dispositivo"], leads)
    save(folder / "pagamentos.csv", ["e-mail do aluno", "data do pagamento", "valor"], paid)
    return Right(reason="e-mail")


def italian_machine_trader(folder: Path) -> Right:
    draw = Draw(7, 200, 0.03)
    rows: dict[str, Rows] = {}
    for row, at, won, _ in draw.each():
        end = "Vinta" if won else draw.one("Persa", "Aperta", "In trattativa")
        rows.setdefault(f"{at:%Y}-Q{(at.month + 2) // 3}", []).append(
            [
                f"IT{row:05d}",
                f"{at:%d/%m/%y}",
                draw.one("Fiera", "Sito", "Agente"),
                draw.one("MI", "TO", "BO", "NA"),
                f"{grouped(draw.number(90, 9000) * 1000, '.')},00",
                end,
            ]
        )
    for month, those in rows.items():
        save(
            folder / f"richieste_{month}.csv",
            ["Codice", "Data richiesta", "Fonte", "Provincia", "Fatturato", "Esito"],
            those,
            ";",
        )
    return Right(
        "richieste_*.csv",
        {"lead_id": "Codice", "created_at": "Data richiesta"},
        {"status": "Esito"},
        order="rows",
        kinds={"Fatturato": "number", "Provincia": "category"},
        late=["Esito"],
    )


def dutch_recruiter(folder: Path) -> Right:
    draw = Draw(8, 150, 0.4)
    rows = [
        [f"{row + 1:06d}", f"{at:%d-%m-%Y}", draw.one("LinkedIn", "Vacaturesite", "Via via"),
         f"€ {draw.number(2, 7)}.{draw.number(1, 9)}00,-",
         "Ja" if won else "Nee", f"{end:%d-%m-%Y}" if won else ""]
        for row, at, won, end in draw.each()
    ]  # fmt: skip
    header = ["Kandidaatnr.", "Aangemaakt op", "Bron", "Salariswens", "Geplaatst", "Geplaatst op"]
    save(folder / "kandidaten.csv", header, rows, ";", "utf-8-sig", "Overzicht kandidaten 2024\r\n\r\n")
    return Right(
        "kandidaten.csv",
        {"lead_id": "Kandidaatnr.", "created_at": "Aangemaakt op"},
        {"converted_at": "Geplaatst op"},
        kinds={"Bron": "category", "Salariswens": "number"},
        late=["Geplaatst"],
    )


def polish_wholesaler(folder: Path) -> Right:
    draw = Draw(9, 200, 0.03)
    firms, deals = [], []
    for row, at, won, end in draw.each():
        firms.append(
            [
                str(70_000 + row),
                f"Firma {row}",
                f"{at:%Y-%m-%d}",
                draw.one("Budownictwo", "Handel", "Usługi"),
                str(draw.number(1, 300)),
            ]
        )
        for number, how in enumerate(
            ["Wygrana"] if won else draw.one("Przegrana", "Otwarta", "Przegrana,Otwarta", "").split(",")
        ):
            date = f"{end:%Y-%m-%d}" if how in ("Wygrana", "Przegrana") else ""
            deals += (
                [[f"T{row}-{number}", str(70_000 + row), how, date, f"{grouped(draw.number(1, 90) * 1000, ' ')},00 zł"]]
                if how
                else []
            )
    save(folder / "firmy.csv", ["ID firmy", "Nazwa", "Data dodania", "Branża", "Liczba pracowników"], firms, ";")
    save(folder / "transakcje.csv", ["ID transakcji", "ID firmy", "Status", "Data zamknięcia", "Wartość"], deals, ";")
    return Right(
        "firmy.csv",
        {"lead_id": "ID firmy", "created_at": "Data dodania"},
        {"status": "Status", "closed_at": "Data zamknięcia"},
        kinds={"Branża": "category", "Liczba pracowników": "number"},
    )


def japanese_software_house(folder: Path) -> Right:
    draw = Draw(10, 150, 0.4)
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    rows = [
        [f"顧客{row:04d}", f"株式会社{row}", f"{at:%Y/%m/%d}", draw.one("製造業", "小売業", "IT"),
         str(draw.number(5, 900)).translate(wide),
         "○" if won else "×", f"{end:%Y/%m/%d}" if won else ""]
        for row, at, won, end in draw.each()
    ]  # fmt: skip
    save(
        folder / "見込み客.csv",
        ["顧客ID", "会社名", "登録日", "業種", "従業員数", "成約", "成約日"],
        rows,
        ",",
        "utf-8-sig",
    )
    return Right(
        "見込み客.csv",
        {"lead_id": "顧客ID", "created_at": "登録日"},
        {"converted_at": "成約日"},
        kinds={"業種": "category", "従業員数": "number"},
        late=["成約"],
    )


FOLDERS: dict[str, Callable[[Path], Right]] = {
    one.__name__: one
    for one in (
        austrian_bakery_machines,
        french_advisers,
        spanish_estate_agents,
        american_trials,
        english_insurance_broker,
        brazilian_school,
        italian_machine_trader,
        dutch_recruiter,
        polish_wholesaler,
        japanese_software_house,
    )
}
