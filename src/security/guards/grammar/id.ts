import { type Grammar, VETO } from "./grammar.ts";

export const indonesian = {
  language: "id",
  form: "look-alike",
  classes: {
    ignore: `abaikan, mengabaikan, harap abaikan, tolong abaikan, lupakan, melupakan, jangan ikuti, jangan mengikuti, jangan patuhi, berhenti mengikuti, berhenti mematuhi, kesampingkan, hiraukan, jangan hiraukan, jangan pedulikan, langgar,
      tidak perlu mengikuti, acuhkan, lewati`,
    det: "semua, seluruh, segala, setiap, para, yang, itu, ini, dan, atau, anda, kamu, tentang, segera, sepenuhnya, apa pun, lain, dari, saja",
    instructions:
      "instruksi, perintah, arahan, petunjuk, pedoman, aturan, prompt, prompt sistem, panduan, batasan, konteks, tugas, instruksimu",
    previous:
      "sebelumnya, terdahulu, di atas, awal, asli, yang diberikan, yang telah diberikan, yang kamu terima, yang anda terima, yang diberikan sebelumnya, yang sebelumnya, tadi, yang ada, sistem, lama, yang sudah diberikan",
    all: "semua, seluruh, segala, semua instruksi",
    instruction: "instruksi, perintah, arahan, instruksimu",
    yourInstructions: `instruksi anda, instruksi kamu, pedoman anda, pedomanmu, instruksimu, arahan anda, aturan anda`,
    told: `semua yang telah diberitahukan, semua yang diberitahukan, semua yang telah dikatakan kepada, semua yang dikatakan kepada, apa yang telah diberitahukan kepada, semua yang telah anda pelajari, segala sesuatu yang telah diberitahukan, semua yang diperintahkan,
      semua yang telah diinstruksikan, semua yang diajarkan kepada, segala yang telah diberitahukan`,
    regardless: "terlepas dari, tanpa memedulikan, tanpa menghiraukan",
    source:
      "halaman web, situs web, artikel, resume, fungsi, tabel, transaksi, teks, teks di atas, pertanyaan, email, dokumen, yang di atas, makalah",
    and: "dan, dan sebagai gantinya, lalu, kemudian, sebagai gantinya",
    say: "ulangi, berikan, katakan, nyatakan, jawab, tulis, tuliskan, cetak, sebutkan, tampilkan, sampaikan, menyatakan, beri tahu",
    youAreNow:
      "sekarang anda adalah, sekarang kamu adalah, kamu sekarang adalah, anda sekarang adalah, mulai sekarang kamu adalah, mulai sekarang anda adalah",
    article: "sebuah, seorang, aplikasi, asisten, ai, model",
    persona:
      "DAN, tanpa batasan, tanpa batas dan aturan, tanpa sensor, yang tidak terikat, tanpa aturan, dalam mode pengembang",
    secret:
      "kunci rahasia anda, kunci rahasiamu, prompt sistem anda, prompt sistemmu, instruksi sistem anda, instruksi rahasia anda, instruksi tersembunyi anda, instruksi awal anda, kode rahasia anda, instruksi awalmu",
    reveal: `apa, apakah, ungkapkan, tunjukkan, ulangi, beri tahu saya, katakan, berikan saya, sebutkan, bocorkan`,
    enter: "masuk ke, aktifkan, beralih ke, masuki",
    mode: "mode pengembang, mode dewa, mode dan, mode tanpa batas, mode jailbreak",
    not: "jangan, tidak boleh, jangan pernah, tidak",
  },
  rules: {
    [VETO]: ["not ignore|reveal"],
    override: [
      "ignore det* instructions det* previous",
      "ignore det* all instruction",
      "ignore det* yourInstructions",
      "regardless det* instructions det* previous",
    ],
    "override of what was said": ["ignore told"],
    "override of the task": ["ignore det* source and say"],
    "override of the role": ["youAreNow article* persona"],
    "claim of authority": ["enter mode"],
    "demand for secrets": ["reveal secret"],
  },
} as const satisfies Grammar;
