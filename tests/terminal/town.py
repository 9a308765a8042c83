"""A switch for scripted desks that books as the real one does: by identity, each once, batch by batch."""

from tests.terminal.desk import approve, echoes

LABELS = {"210060": 1, "006000": 2, "020060": 7, "026000": 7}


class Town:
    """Call it as a desk's switch. booked: identity -> (batch, tag, rial, points); refuses: {code of DE 3:
    response code}; silent: how many messages more it answers nothing; transient: how many it answers 96."""

    def __init__(self):
        self.booked = {}
        self.answers = {}
        self.reversed = set()
        self.uploads = []
        self.trailers = []
        self.closed = {}  # batch -> the totals claimed
        self.missing = 0  # adds to each total: the switch has something else
        self.silent = 0
        self.transient = 0
        self.refuses = {}

    def again(self, requests):
        """A Town that has heard these and nothing else."""
        town = Town()
        town.missing, town.refuses = self.missing, self.refuses
        for mti, fields in requests:
            town(mti, fields)
        return town

    def __call__(self, mti, fields):
        answer = self._answered(mti, fields)
        if self.silent:
            self.silent -= 1
            return None
        return answer

    def _answered(self, mti, fields):
        if mti == "0800":
            return approve(mti, fields)
        if self.transient:
            self.transient -= 1
            return self._refused(mti, fields, "96")
        identity = (mti[:2], fields[11], fields[13], fields[12])
        said = {number: fields[number] for number in fields if number != 22}
        if identity in self.answers:
            before, answer = self.answers[identity]
            return answer if before == (mti[:3], said) else self._refused(mti, fields, "94")
        answer = self._decided(mti, fields, identity)
        self.answers[identity] = (mti[:3], said), answer
        return answer

    def _decided(self, mti, fields, identity):
        if mti[:2] == "04":
            original = (fields[90][1:2] and fields[90][:2], fields[90][4:10], fields[90][10:14])
            for key in list(self.booked):
                if key[:3] == original:
                    del self.booked[key]
            self.reversed.add(original)
            return approve(mti, fields)
        if mti[:2] == "05":
            return self._batch(mti, fields)
        if mti[:2] == "03" and 90 in fields:
            self.uploads.append(fields[90])
            return self._refused(mti, fields, "00")
        if identity[:3] in self.reversed:
            return self._refused(mti, fields, "94")
        if fields[3] in self.refuses:
            return self._refused(mti, fields, self.refuses[fields[3]])
        if fields[3] in LABELS:
            last = max(self.closed) if self.closed else ""
            if fields[60] <= last:
                return self._refused(mti, fields, "12", {4: "0206", 5: "000000" + last})
            answer = approve("0200", fields)[1]
            points = int(answer[48].get(1, "0"))
            self.booked[identity] = fields[60], LABELS[fields[3]], int(fields[4]), points
            return mti[:2] + "%d0" % (int(mti[2]) + 1), answer
        return approve(mti, fields)

    def _batch(self, mti, fields):
        if fields[3] == "960000":
            self.trailers.append(fields[60])
            return self._refused(mti, fields, "00")
        self.closed[fields[60]] = fields[63]
        totals = self.totals(fields[60])
        if totals == fields[63]:
            return self._refused(mti, fields, "00")
        answer = self._refused(mti, fields, "95")
        answer[1][63] = totals
        return answer

    def totals(self, batch):
        """DE 63 of what is booked in a batch."""
        found = {}
        for one, tag, rial, points in self.booked.values():
            if one == batch:
                total = found.setdefault(tag, [0, 0, 0])
                for place, value in enumerate((1, rial, points)):
                    total[place] += value
        for total in found.values():
            total[2] += self.missing
        return {tag: "%06d%016d%016d" % tuple(found[tag]) for tag in found}

    def _refused(self, mti, fields, code, tags=None):
        answer = echoes(fields)
        answer[39] = code
        if tags:
            answer[48] = tags
        return mti[:2] + "%d0" % (int(mti[2]) + 1), answer
