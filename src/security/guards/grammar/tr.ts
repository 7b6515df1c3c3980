import type { Grammar } from "./grammar.ts";

export const turkish = {
  language: "tr",
  form: "look-alike",
  classes: {
    ignoring: `yok say, yok sayın, yok sayınız, yoksay, yoksayın, görmezden gel, görmezden gelin, görmezden geliniz, göz ardı et, göz ardı edin, gözardı et, gözardı edin, dikkate alma, dikkate almayın, unut, unutun, unutunuz,
      uyma, uymayın, uymayı bırak, uymayı kes, izleme, takip etme, takip etmeyin, boş ver, boş verin, önemseme, önemsemeyin, bir kenara bırak, bir kenara bırakın, geçersiz kıl, geçersiz sayın, hiçe say, çiğne, ihlal et,
      atla, yerine getirme, umursama, itaat etme`,
    det: "tüm, bütün, bu, şu, o, her, sana, size, verilen, ve, veya, ya da, lütfen, diğer, hemen, tamamen, şimdi, herhangi bir, senin, sizin",
    all: "tüm, bütün, her türlü, her, bütün bu, tüm bu",
    previous: `önceki, daha önceki, bundan önceki, evvelki, yukarıdaki, yukarıda verilen, daha önce verilen, önceden verilen, sana verilen, size verilen, geçmiş, ilk, başlangıçtaki, orijinal, eski, mevcut, şimdiye kadarki, aldığın,
      aldığınız, şu ana kadarki, önce verilen, sana daha önce verilen, geliştiricilerinin, sistem`,
    instructions: `talimat, talimatları, talimatlari, talimatlarını, talimatlarınızı, talimatlara, talimatı, talimatını, talimatlarına, talimatlarınıza, yönergeleri, yönergelerini, yönergelere, yönerge, direktifleri, direktiflerini, komutları,
      komutlarını, emirleri, emirlerini, kuralları, kurallarını, kurallara, kısıtlamaları, kısıtlamalarını, yönlendirmeleri, istemleri, sistem istemini, bağlamı, istemi, eğitimini, kurallarınızı, yönergelerinizi`,
    allInstructions:
      "talimatları, talimatlarını, talimatlarınızı, yönergeleri, yönergelerini, direktifleri, emirleri, talimatlara, yönergelerinizi",
    own: "talimatlarını, talimatlarınızı, yönergelerini, yönergelerinizi, programlamanı, sistem istemini, kısıtlamalarını, güvenlik kurallarını, etik kurallarını, direktiflerini, eğitimini",
    told: `sana söylenen her şeyi, size söylenen her şeyi, sana söylenenleri, size söylenenleri, sana söylenen tüm, sana öğretilen her şeyi, sana öğretilenleri, şimdiye kadar söylenenleri, daha önce söylenenleri, sana anlatılan her şeyi,
      sana daha önce söylenen her şeyi, daha önce söylenen her şeyi, sana emredilen her şeyi, yukarıda söylenen her şeyi, sana verilen her şeyi, yukarıdaki her şeyi`,
    source:
      "web sayfasını, sayfayı, makaleyi, özgeçmişi, fonksiyonu, işlevi, tabloyu, işlemi, metni, yukarıdaki metni, soruyu, yukarıdakileri, yukarıdakini, yukarıyı, e-postayı, belgeyi, konuşmayı, gerisini, bildiriyi",
    and: "ve, ve bunun yerine, ve sadece, bunun yerine, sonra",
    say: "tekrarla, tekrarlayın, söyle, söyleyin, de ki, belirt, belirtin, yaz, yazın, cevap ver, cevap verin, yanıtla, yanıtlayın, ifade et, ifade edin, yazdır, yazdırın, iddia et, bana",
    stating: "ve durumu, ve belirt, ve söyle",
    fromNow: "bundan sonra, bundan böyle, şu andan itibaren, artık, şimdiden itibaren, bu andan itibaren",
    behave: `sen dan, dan gibi davran, dan olarak, kısıtlamasız bir, gibi davranacaksın, olarak cevap vereceksin, olarak yanıt vereceksin, bana itaat edeceksin, bana itaat et, her dediğimi yapacaksın, dediklerimi yapacaksın,
      kuralları yok sayacaksın, gibi davranmalısın, sadece bana itaat`,
    youAreNow: "sen artık, artık sen, şimdi sen, sen şimdi, siz artık, artık, şu andan itibaren sen",
    persona: `DAN, dansın, dan uygulamasısın, geliştirici modundasın, kısıtlaması olmayan bir, sınırsız bir yapay zeka, kısıtlamasız bir yapay zeka, sansürsüz bir yapay zeka, kuralları olmayan bir, hiçbir kurala bağlı değilsin,
      tüm kısıtlamalardan kurtuldun, tanrı modundasın`,
    article: "bir, geliştirici",
    mode: "geliştirici moduna, geliştirici modunu, tanrı moduna, tanrı modunu, jailbreak moduna, dan moduna, dan modunu, kısıtlamasız moda, sistem moduna",
    entering: "geç, geçin, gir, girin, etkinleştir, etkinleştirin, aç, aktif et, başlat",
    yours: "senin, sizin, kendi, tam, bana, gizli, bize",
    secret: `sistem istemini, sistem promptunu, sistem mesajını, sistem talimatlarını, gizli anahtarını, gizli anahtarın, gizli anahtarınız, gizli anahtarınızı, gizli talimatlarını, gizli talimatların, başlangıç talimatlarını, ilk talimatlarını,
      orijinal talimatlarını, sistem promptun, sistem istemin, gizli kodunu, gizli istemini, iç talimatlarını`,
    reveal:
      "göster, gösterin, söyle, söyleyin, yazdır, yazdırın, açıkla, açıklayın, tekrarla, tekrar et, paylaş, paylaşın, ver, yaz, ne, nedir, neler, ifşa et, bana söyle, bana göster, bana ver, çevir",
    newPrompt: "yeni sistem istemi, yeni sistem promptu, yeni sistem talimatları, yeni talimatların şunlar",
  },
  rules: {
    override: [
      "previous det|previous* instructions ignoring",
      "all det|previous* allInstructions ignoring",
      "own ignoring",
    ],
    "override of what was said": ["told ignoring"],
    "override of the task": ["source ignoring and say", "source stating ignoring"],
    "override of the role": ["youAreNow article* persona"],
    "claim of authority": ["fromNow behave", "mode entering", "^ newPrompt"],
    "demand for secrets": ["yours* secret yours* reveal"],
  },
} as const satisfies Grammar;
